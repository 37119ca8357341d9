//! Which blocks of a listing follow which.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{Jump, Line};

/// Blocks: stretches of lines that are entered only at the first and left only at the last.
#[derive(Debug)]
pub(super) struct Graph {
    lines: Vec<Range<usize>>,
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    /// For each block those that every way to it leads through, itself included. Empty for blocks that nothing leads to.
    through: Vec<BTreeSet<usize>>,
}

impl Graph {
    pub(super) fn of(listing: &[Line]) -> Self {
        let lines = blocks(listing);
        let after = followers(listing, &lines);
        let mut before = vec![Vec::new(); lines.len()];
        for (block, followers) in after.iter().enumerate() {
            for &follower in followers {
                before[follower].push(block);
            }
        }
        let through = dominators(&before);
        Self {
            lines,
            before,
            after,
            through,
        }
    }

    /// Lines of a block.
    pub(super) fn lines(&self, block: usize) -> Range<usize> {
        self.lines[block].clone()
    }

    /// Blocks that a block goes on with, each once.
    pub(super) fn after(&self, block: usize) -> &[usize] {
        &self.after[block]
    }

    /// Edges to a block that every way leads through: what closes a loop.
    pub(super) fn back_edges(&self) -> Vec<(usize, usize)> {
        let edges = self
            .before
            .iter()
            .enumerate()
            .flat_map(|(to, before)| before.iter().map(move |&from| (from, to)));
        edges
            .filter(|&(from, to)| self.through[from].contains(&to))
            .collect()
    }

    /// The loop that an edge from `last` back to `header` closes: all that reaches `last` without going through `header`.
    pub(super) fn loop_body(&self, last: usize, header: usize) -> BTreeSet<usize> {
        let mut body = BTreeSet::from([header]);
        let mut open = vec![last];
        while let Some(block) = open.pop() {
            if body.insert(block) {
                open.extend(&self.before[block]);
            }
        }
        body
    }
}

fn blocks(listing: &[Line]) -> Vec<Range<usize>> {
    let mut starts = BTreeSet::from([0]);
    for (place, line) in listing.iter().enumerate() {
        match line {
            Line::Label(_) => {
                starts.insert(place);
            }
            Line::Instruction { jump: Some(_), .. } => {
                starts.insert(place + 1);
            }
            Line::Instruction { jump: None, .. } => {}
        }
    }
    starts.insert(listing.len());
    let starts: Vec<usize> = starts.into_iter().collect();
    starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

fn followers(listing: &[Line], blocks: &[Range<usize>]) -> Vec<Vec<usize>> {
    let mut labels = BTreeMap::new();
    for (number, block) in blocks.iter().enumerate() {
        if let Some(Line::Label(label)) = listing.get(block.start) {
            labels.insert(label.as_str(), number);
        }
    }
    let of = |number: usize| {
        let next = Some(number + 1).filter(|&next| next < blocks.len());
        let place = |label: &str| labels.get(label).copied();
        match listing.get(blocks[number].end.wrapping_sub(1)) {
            Some(Line::Instruction {
                jump: Some(jump), ..
            }) => match jump {
                Jump::Always(label) => [place(label), None],
                Jump::Perhaps(label, _) => [place(label), next],
                Jump::End => [None, None],
            },
            _ => [next, None],
        }
    };
    (0..blocks.len())
        .map(|number| {
            let [there, next] = of(number);
            there
                .into_iter()
                .chain(next.filter(|_| next != there))
                .collect()
        })
        .collect()
}

fn dominators(before: &[Vec<usize>]) -> Vec<BTreeSet<usize>> {
    let mut through: Vec<Option<BTreeSet<usize>>> = vec![None; before.len()];
    if let Some(first) = through.first_mut() {
        *first = Some(BTreeSet::from([0]));
    }
    let mut changed = true;
    while changed {
        changed = false;
        for block in 1..before.len() {
            let known = before[block].iter().filter_map(|&b| through[b].as_ref());
            let common = known.cloned().reduce(|a, b| &a & &b);
            if let Some(mut common) = common {
                common.insert(block);
                if through[block].as_ref() != Some(&common) {
                    through[block] = Some(common);
                    changed = true;
                }
            }
        }
    }
    through.into_iter().map(Option::unwrap_or_default).collect()
}
