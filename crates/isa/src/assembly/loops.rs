//! The loops of a listing.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use super::{Line, Mix, Ways};

/// A loop, without the loops in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loop {
    /// The line that it begins with.
    pub first_line: usize,
    /// What its body holds, on every way through it.
    pub mix: Mix,
    /// What one turn executes; of loops that hold no other.
    pub ways: Option<Ways>,
}

impl Loop {
    /// The loops of a listing in which the multiply-adds are, hottest first: those with at least a quarter of the most. A listing without
    /// loops is one loop that runs once; without multiply-adds the longest loop counts.
    pub fn hot(listing: &[Line]) -> Vec<Self> {
        let mut loops = Self::all(listing);
        loops.sort_by_key(|l| (std::cmp::Reverse((l.mix.fma, l.mix.all())), l.first_line));
        let most = loops.first().map_or(0, |l| l.mix.fma);
        if most == 0 {
            loops.truncate(1);
        }
        loops.retain(|l| 4 * l.mix.fma >= most);
        if loops.is_empty() {
            loops.push(Self {
                first_line: 0,
                mix: Mix::of(listing),
                ways: None,
            });
        }
        loops
    }

    /// A jump to a block that every way to it leads through closes a loop; jumps to the same block close the same one.
    fn all(listing: &[Line]) -> Vec<Self> {
        let graph = Graph::of(listing);
        let mut bodies: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (from, to) in graph.back_edges() {
            bodies
                .entry(to)
                .or_default()
                .extend(graph.loop_body(from, to));
        }
        let own = |header: usize, body: &BTreeSet<usize>| {
            let inner = |block: &usize| {
                bodies
                    .iter()
                    .any(|(&h, b)| h != header && body.contains(&h) && b.contains(block))
            };
            let blocks = body.iter().filter(|block| !inner(block));
            Mix::of(blocks.flat_map(|&block| &listing[graph.lines(block)]))
        };
        bodies
            .iter()
            .map(|(&header, body)| Self {
                first_line: graph.lines(header).start,
                mix: own(header, body),
                ways: Ways::through(listing, &graph, header, body),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::{Class, Decided, Jump};

    fn label(name: &str) -> Line {
        Line::Label(name.to_owned())
    }

    fn jump(name: &str) -> Line {
        Line::jump(Jump::Always(name.to_owned()))
    }

    fn branch(name: &str) -> Line {
        Line::jump(Jump::Perhaps(name.to_owned(), Decided::Once))
    }

    fn fmas(count: usize) -> Vec<Line> {
        vec![Line::once(Class::Fma); count]
    }

    #[test]
    fn the_inner_loop_is_taken_out_of_the_outer_one() {
        let listing = [
            vec![label("outer")],
            fmas(1),
            vec![label("inner")],
            fmas(3),
            vec![
                branch("inner"),
                branch("after"),
                jump("outer"),
                label("after"),
            ],
            fmas(1),
        ]
        .concat();
        let loops = Loop::hot(&listing);
        assert_eq!(loops.len(), 2);
        assert_eq!(loops[0].first_line, 2);
        assert_eq!((loops[0].mix.fma, loops[0].mix.control), (3, 1));
        assert_eq!((loops[1].mix.fma, loops[1].mix.control), (1, 2));
    }

    #[test]
    fn a_jump_backwards_is_not_always_a_loop() {
        // A block that was put at the end and jumps back to where its ways meet.
        let listing = [
            vec![branch("far"), label("near")],
            fmas(5),
            vec![Line::jump(Jump::End), label("far")],
            fmas(2),
            vec![jump("near")],
        ]
        .concat();
        let loops = Loop::hot(&listing);
        assert_eq!(loops.len(), 1);
        assert_eq!(loops[0].mix.fma, 7);
    }

    #[test]
    fn a_loop_is_found_where_its_body_lies_apart() {
        let listing = [
            vec![
                label("head"),
                branch("body"),
                Line::jump(Jump::End),
                label("other"),
            ],
            fmas(9),
            vec![Line::jump(Jump::End), label("body")],
            fmas(2),
            vec![jump("head")],
        ]
        .concat();
        assert_eq!(Loop::hot(&listing)[0].mix.fma, 2);
    }

    #[test]
    fn loops_with_few_multiply_adds_are_not_hot() {
        let listing = [
            vec![label("a")],
            fmas(1),
            vec![branch("a"), label("b")],
            fmas(5),
            vec![branch("b")],
        ]
        .concat();
        assert_eq!(Loop::hot(&listing).len(), 1);
        assert_eq!(Loop::hot(&listing)[0].mix.fma, 5);
    }

    #[test]
    fn without_multiply_adds_the_longest_loop_counts() {
        let other = |count| vec![Line::once(Class::Vector); count];
        let listing = [
            vec![label("a")],
            other(1),
            vec![branch("a"), label("b")],
            other(5),
            vec![branch("b")],
        ]
        .concat();
        assert_eq!(Loop::hot(&listing).len(), 1);
        assert_eq!(Loop::hot(&listing)[0].mix.vector, 5);
    }
}
