//! Accessors, and what each constructor and accessor refuses.

use sparse_core::{Matrix, MatrixView, Nm, NmError, NmMatrix, NmSelection};

fn message<T>(result: Result<T, NmError>) -> String {
    match result {
        Ok(_) => "no error".into(),
        Err(error) => error.to_string(),
    }
}

/// A 3 x 6 matrix of 2:4 whose tail group has two real columns.
fn with_values(values: Vec<f32>, indices: &[u8]) -> Result<NmMatrix<f32>, NmError> {
    NmMatrix::try_new(3, 6, Nm::new(2, 4, 2), values, indices)
}

const INDICES: [u8; 8] = [0, 3, 1, 2, 1, 2, 0, 1];

fn values() -> Vec<f32> {
    // Slot 3 of strip 0 (rows 0 and 1) stands for column 6, which does not exist.
    vec![1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, -0.0, 7.0, 8.0, 9.0, 10.0]
}

#[test]
fn accessors_describe_the_format() {
    let matrix = with_values(values(), &INDICES).unwrap();
    assert_eq!((matrix.rows(), matrix.cols()), (3, 6));
    assert_eq!(matrix.pattern(), Nm::new(2, 4, 2));
    assert_eq!(
        (matrix.groups(), matrix.kept_per_row(), matrix.strips()),
        (2, 4, 2)
    );
    assert_eq!((matrix.index_bits(), matrix.words_per_strip()), (2, 1));
    assert_eq!(matrix.density(), 0.5);
    let indices: Vec<usize> = (0..8).map(|i| matrix.index(i / 4, i % 4)).collect();
    assert_eq!(indices, [0, 3, 1, 2, 1, 2, 0, 1]);
    let columns: Vec<usize> = (0..8).map(|i| matrix.column(i / 4, i % 4)).collect();
    assert_eq!(columns, [0, 3, 5, 6, 1, 2, 4, 5]);
    assert_eq!(
        matrix.row(1).collect::<Vec<_>>(),
        [(0, 4.0), (3, 5.0), (5, 6.0)]
    );
    assert_eq!(
        matrix.to_dense().unwrap().data(),
        [
            1.0, 0.0, 0.0, 2.0, 0.0, 3.0, //
            4.0, 0.0, 0.0, 5.0, 0.0, 6.0, //
            0.0, 7.0, 8.0, 0.0, 9.0, 10.0,
        ]
    );
}

#[test]
fn each_broken_invariant_has_its_message() {
    let edited = |position: usize, index: u8| {
        let mut indices = INDICES;
        indices[position] = index;
        message(with_values(values(), &indices))
    };
    assert_eq!(
        message(with_values(vec![0.0; 11], &INDICES)),
        "pattern 2:2:4 keeps 4 weights in each of 3 rows, 12 values in all, but 11 were given"
    );
    assert_eq!(
        message(with_values(vec![0.0; 13], &INDICES)),
        "pattern 2:2:4 keeps 4 weights in each of 3 rows, 12 values in all, but 13 were given"
    );
    assert_eq!(
        message(with_values(values(), &INDICES[..7])),
        "pattern 2:2:4 needs 4 indices for each of 2 strips of rows, 8 in all, but 7 were given"
    );
    assert_eq!(
        edited(5, 4),
        "index 4 of slot 1 in strip 1 is outside of its group: it must be below 4"
    );
    assert_eq!(
        edited(7, 0),
        "index 0 of slot 3 in strip 1 follows 0 in the same group: indices of a group must strictly increase"
    );
    assert_eq!(
        edited(0, 3),
        "index 3 of slot 1 in strip 0 follows 3 in the same group: indices of a group must strictly increase"
    );
    let mut padded = values();
    padded[7] = f32::NAN;
    assert_eq!(
        message(with_values(padded, &INDICES)),
        "slot 3 of row 1 lies at column 6, past the 6 columns of the matrix: its value must be zero"
    );
    assert_eq!(
        message(NmMatrix::<f32>::try_new(
            1 << 40,
            1 << 40,
            Nm::TWO_FOUR,
            vec![],
            &[]
        )),
        "a 1099511627776 x 1099511627776 matrix of pattern 2:4 is too large to address on this machine"
    );
    // Both slots of the tail group are padding: the first of them counts as well as the last.
    assert_eq!(
        message(NmMatrix::try_new(
            1,
            5,
            Nm::TWO_FOUR,
            vec![0.0, 0.0, 1.0, 0.0],
            &[0, 1, 1, 2]
        )),
        "slot 2 of row 0 lies at column 5, past the 5 columns of the matrix: its value must be zero"
    );
    let dense = with_values(values(), &INDICES).unwrap().to_dense().unwrap();
    // Fewer rows, fewer columns, as many elements.
    for (rows, cols, slots) in [(2, 6, 4), (3, 5, 8), (6, 3, 6)] {
        let indices = INDICES[..slots].to_vec();
        let other = NmSelection::new(rows, cols, Nm::new(2, 4, 2), indices);
        assert_eq!(
            message(NmMatrix::from_selection(&dense, &other)),
            format!("the selection is for a {rows} x {cols} matrix, the matrix given is 3 x 6")
        );
    }
    assert_eq!(
        message(NmMatrix::from_dense(&dense, Nm::new(2, 4, 3))),
        "pattern 3:2:4 does not hold: the strip of rows 0..3, group 0 (columns from 0) has 4 nonzero columns, 2 are allowed; \
         column 2 is the first too many; prune the matrix first to give it the pattern"
    );
}

/// A broadcast view and one strip for all rows: neither takes memory, the values would take 2^47 bytes.
#[test]
fn values_that_no_memory_holds_are_refused() {
    let rows = 1 << 44;
    let view = MatrixView::try_new(&[1.0_f32], rows, 4, 0, 0).unwrap();
    let selection = NmSelection::new(rows, 4, Nm::new(2, 4, rows), vec![0, 1]);
    assert_eq!(
        message(NmMatrix::from_selection(view, &selection)),
        "there is no memory for the 35184372088832 kept weights of a 17592186044416 x 4 matrix of pattern \
         17592186044416:2:4, 140737488355328 bytes; keep fewer, or split the matrix"
    );
}

#[test]
#[should_panic(expected = "row 3 is outside of a matrix of 3 rows")]
fn a_row_too_many_is_no_row() {
    let _ = with_values(values(), &INDICES).unwrap().row(3);
}

#[test]
#[should_panic(expected = "12 values in all, but 0 were given")]
fn the_panicking_twin_says_the_same() {
    NmMatrix::<f32>::new(3, 6, Nm::new(2, 4, 2), vec![], &INDICES);
}

#[test]
#[should_panic(expected = "slot 4 of strip 0 is outside of 2 strips of 4 slots")]
fn a_slot_past_its_strip_is_no_slot_of_the_next() {
    with_values(values(), &INDICES).unwrap().index(0, 4);
}

#[test]
#[should_panic(expected = "slot 3 of strip 2 is outside of 2 strips of 4 slots")]
fn a_strip_past_the_last_has_no_slots() {
    with_values(values(), &INDICES).unwrap().index(2, 3);
}

#[test]
fn packed_indices_are_taken_as_they_were_given() {
    let matrix = with_values(values(), &INDICES).unwrap();
    let packed = matrix.packed_indices().to_vec();
    let from = |packed: &[u32]| NmMatrix::try_from_packed(3, 6, Nm::new(2, 4, 2), values(), packed);
    assert_eq!(from(&packed).unwrap(), matrix);
    let edited = |word: usize, bits: u32| {
        let mut packed = packed.clone();
        packed[word] ^= bits;
        message(from(&packed))
    };
    assert_eq!(
        message(from(&packed[..1])),
        "pattern 2:2:4 packs the indices of each of 2 strips of rows into 1 words, 2 in all, but 1 were given"
    );
    assert_eq!(
        edited(1, 1 << 8),
        "the last word of packed indices of strip 1 has bits that belong to no slot: they must be zero"
    );
    // The first index of strip 0 becomes 3, as the second is.
    assert!(edited(0, 3).contains("must strictly increase"));
    for (rows, cols) in [(0, 6), (3, 0)] {
        let empty = NmMatrix::<f32>::new(rows, cols, Nm::new(2, 4, 2), Vec::new(), &[]);
        let packed = empty.packed_indices();
        let again = NmMatrix::try_from_packed(rows, cols, Nm::new(2, 4, 2), Vec::new(), packed);
        assert_eq!(again.unwrap(), empty);
    }
    // Positions of every width.
    for (n, m) in [(1, 2), (2, 4), (2, 8), (3, 16), (5, 32)] {
        let numbers = (0..4 * 70_u16).map(f32::from).collect();
        let matrix = NmMatrix::prune(&Matrix::new(4, 70, numbers), Nm::new(n, m, 3)).unwrap();
        let (values, packed) = (matrix.values().to_vec(), matrix.packed_indices());
        let again = NmMatrix::try_from_packed(4, 70, Nm::new(n, m, 3), values, packed);
        assert_eq!(again.unwrap(), matrix, "{n}:{m}");
    }
    // Four bits hold more positions than a group of five.
    let packed = [9];
    let outside = NmMatrix::try_from_packed(1, 5, Nm::new(1, 5, 1), vec![1.0_f32], &packed);
    assert!(message(outside).contains("outside of its group"));
}
