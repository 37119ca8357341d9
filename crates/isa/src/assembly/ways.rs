//! What one turn of a loop executes whose body branches.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use super::{Decided, Jump, Line, Mix};

/// The ways through the body of a loop, from its first block back to it. All are as likely: a tree of branches with a leaf for each
/// pattern of weights is a way for each pattern, and the trees of several rows follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ways {
    /// How many there are.
    pub number: f64,
    /// Arithmetic of the vector units, multiply-adds included.
    pub vector: Count,
    /// Multiply-adds.
    pub fma: Count,
    /// All instructions.
    pub all: Count,
    /// Who decides between them; the worst of all branches, none where there is one way.
    pub decided: Option<Decided>,
}

/// Instructions of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// On the shortest way.
    pub least: f64,
    /// On average.
    pub mean: f64,
    /// On the longest way.
    pub most: f64,
}

impl Ways {
    /// Those through `body`, which begins with `header`; none where there are loops in it.
    pub(super) fn through(
        listing: &[Line],
        graph: &Graph,
        header: usize,
        body: &BTreeSet<usize>,
    ) -> Option<Self> {
        let inside = Inside {
            graph,
            header,
            body,
        };
        let order = inside.order()?;
        let mut to_end: BTreeMap<usize, f64> = BTreeMap::new();
        for &block in order.iter().rev() {
            let closes = f64::from(u8::from(inside.closes(block)));
            let rest: f64 = inside.next(block).map(|next| to_end[&next]).sum();
            to_end.insert(block, closes + rest);
        }
        let number = to_end[&header];
        let mut from_start = BTreeMap::from([(header, 1.0)]);
        for &block in &order {
            let here = from_start.get(&block).copied().unwrap_or(0.0);
            for next in inside.next(block) {
                *from_start.entry(next).or_insert(0.0) += here;
            }
        }
        let count = |of: &dyn Fn(&Mix) -> u32| {
            let of_block = |block: usize| f64::from(of(&Mix::of(&listing[graph.lines(block)])));
            let mean = order
                .iter()
                .map(|block| of_block(*block) * from_start[block] * to_end[block] / number);
            let best = |choose: fn(f64, f64) -> f64| {
                let mut rest: BTreeMap<usize, f64> = BTreeMap::new();
                for &block in order.iter().rev() {
                    let ends = inside.closes(block).then_some(0.0);
                    let further = inside.next(block).map(|next| rest[&next]);
                    let chosen = further.chain(ends).reduce(choose).unwrap_or(0.0);
                    rest.insert(block, of_block(block) + chosen);
                }
                rest[&header]
            };
            Count {
                least: best(f64::min),
                mean: mean.sum(),
                most: best(f64::max),
            }
        };
        let branches = order
            .iter()
            .filter(|&&block| inside.next(block).count() + usize::from(inside.closes(block)) > 1);
        let decided = branches.filter_map(|&block| match listing[graph.lines(block)].last() {
            Some(Line::Instruction {
                jump: Some(Jump::Perhaps(_, decided)),
                ..
            }) => Some(*decided),
            _ => None,
        });
        Some(Self {
            number,
            vector: count(&Mix::of_vectors),
            fma: count(&|mix| mix.fma),
            all: count(&Mix::all),
            decided: decided.max(),
        })
    }
}

/// A loop's body.
struct Inside<'a> {
    graph: &'a Graph,
    header: usize,
    body: &'a BTreeSet<usize>,
}

impl Inside<'_> {
    /// Blocks of the body that follow, without going back to its beginning.
    fn next(&self, block: usize) -> impl Iterator<Item = usize> {
        let all = self.graph.after(block).iter().copied();
        all.filter(|next| *next != self.header && self.body.contains(next))
    }

    /// Whether the block goes back to the beginning.
    fn closes(&self, block: usize) -> bool {
        self.graph.after(block).contains(&self.header)
    }

    /// The blocks, each behind all that lead to it; none where there are loops among them.
    fn order(&self) -> Option<Vec<usize>> {
        let mut waiting: BTreeMap<usize, usize> = BTreeMap::new();
        for next in self.body.iter().flat_map(|&block| self.next(block)) {
            *waiting.entry(next).or_insert(0) += 1;
        }
        let (mut order, mut open) = (Vec::new(), vec![self.header]);
        while let Some(block) = open.pop() {
            order.push(block);
            for next in self.next(block) {
                let left = waiting.get_mut(&next)?;
                *left -= 1;
                if *left == 0 {
                    open.push(next);
                }
            }
        }
        (order.len() == self.body.len()).then_some(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::{Class, Loop};

    fn label(name: &str) -> Line {
        Line::Label(name.to_owned())
    }

    fn branch(name: &str, decided: Decided) -> Line {
        Line::jump(Jump::Perhaps(name.to_owned(), decided))
    }

    fn jump(name: &str) -> Line {
        Line::jump(Jump::Always(name.to_owned()))
    }

    fn vectors(count: usize) -> Vec<Line> {
        vec![Line::once(Class::Vector); count]
    }

    /// A tree of three leaves with 1, 2 and 6 instructions, and behind it one of two with 10 and 20.
    fn two_trees(decided: Decided) -> Vec<Line> {
        [
            vec![label("head"), branch("a", decided)],
            vectors(1),
            vec![jump("second"), label("a"), branch("b", decided)],
            vectors(2),
            vec![jump("second"), label("b")],
            vectors(6),
            vec![label("second"), branch("c", Decided::Once)],
            vectors(10),
            vec![jump("end"), label("c")],
            vectors(20),
            vec![label("end"), branch("head", Decided::Once)],
        ]
        .concat()
    }

    #[test]
    fn every_leaf_of_a_tree_is_as_likely() {
        let ways = Loop::hot(&two_trees(Decided::Once))[0].ways.unwrap();
        assert_eq!(ways.number, 6.0);
        assert_eq!(ways.vector.least, 11.0);
        assert_eq!(ways.vector.most, 26.0);
        assert!((ways.vector.mean - (3.0 + 15.0)).abs() < 1e-9);
        assert_eq!(ways.decided, Some(Decided::Once));
    }

    #[test]
    fn jumps_are_counted_on_their_way_only() {
        let ways = Loop::hot(&two_trees(Decided::Once))[0].ways.unwrap();
        // Branches to a leaf: 1, 2, 2, a jump behind two of three; then 1, with a jump behind one of two; and back.
        let jumps = ways.all.mean - ways.vector.mean;
        assert!((jumps - (5.0 / 3.0 + 2.0 / 3.0 + 1.0 + 0.5 + 1.0)).abs() < 1e-9);
    }

    #[test]
    fn the_worst_branch_tells_who_decides() {
        let ways = Loop::hot(&two_trees(Decided::ByEach))[0].ways.unwrap();
        assert_eq!(ways.decided, Some(Decided::ByEach));
        let ways = Loop::hot(&two_trees(Decided::Untold))[0].ways.unwrap();
        assert_eq!(ways.decided, Some(Decided::Untold));
    }

    #[test]
    fn a_loop_without_branches_has_one_way() {
        let listing = [
            vec![label("head"), branch("out", Decided::ByEach)],
            vectors(5),
            vec![jump("head"), label("out")],
        ]
        .concat();
        let ways = Loop::hot(&listing)[0].ways.unwrap();
        assert_eq!((ways.number, ways.decided), (1.0, None));
        assert_eq!((ways.vector.least, ways.vector.mean), (5.0, 5.0));
    }

    #[test]
    fn a_loop_in_a_loop_has_no_ways_of_its_own() {
        let listing = [
            vec![label("outer")],
            vectors(1),
            vec![label("inner")],
            vectors(3),
            vec![
                branch("inner", Decided::Once),
                branch("outer", Decided::Once),
            ],
        ]
        .concat();
        let loops = Loop::hot(&listing);
        assert_eq!(loops[0].ways.unwrap().vector.mean, 3.0);
        assert_eq!(loops.len(), 1);
    }
}
