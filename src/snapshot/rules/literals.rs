//! Texts that a path equals or begins with: a tree in which every path is followed once, from its front.
//!
//! Each edge carries as many bytes as its texts have in common, so that the tree has at most two nodes for each
//! text, and a look-up takes a step for each branch on its way.

use std::ops::{ControlFlow, Range};

use super::PathUse;

/// The tree. The children of a node lie side by side, sorted by their first byte.
#[derive(Default)]
pub(super) struct Literals {
    nodes: Box<[Node]>,
    labels: Box<[u8]>,
    uses: Box<[PathUse]>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// First byte of the label.
    first: u8,
    /// What stands between the parent and this node.
    label: Range<u32>,
    children: Range<u32>,
    /// Uses of paths that begin with the text up to here.
    prefixes: Range<u32>,
    /// Uses of paths that equal it.
    exacts: Range<u32>,
}

/// A text, whether a path has to equal it, and what follows from that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Literal {
    pub text: Box<[u8]>,
    pub exact: bool,
    pub path_use: PathUse,
}

impl Literals {
    /// The tree of these texts.
    pub fn new(mut texts: Vec<Literal>) -> Self {
        if texts.is_empty() {
            return Self::default();
        }
        texts.sort_unstable();
        let mut nodes = vec![Node::default()];
        let (mut labels, mut uses) = (Vec::new(), Vec::new());
        // Nodes whose texts are known, and how many bytes of them lie above: children follow their parents.
        let mut open = std::collections::VecDeque::from([(0, 0..texts.len(), 0)]);
        while let Some((at, range, depth)) = open.pop_front() {
            let mine = texts.get(range.clone()).unwrap_or_default();
            let ends = mine.iter().take_while(|literal| literal.text.len() == depth).count();
            let (here, below) = mine.split_at(ends);
            let prefixes = add(&mut uses, here.iter().filter(|literal| !literal.exact));
            let exacts = add(&mut uses, here.iter().filter(|literal| literal.exact));
            let first_child = nodes.len();
            let mut start = range.start + ends;
            for group in below.chunk_by(|one, other| one.text.get(depth) == other.text.get(depth)) {
                let shared = shared(group, depth);
                let label = extend(&mut labels, shared);
                let first = shared.first().copied().unwrap_or(0);
                open.push_back((nodes.len(), start..start + group.len(), depth + shared.len()));
                start += group.len();
                nodes.push(Node { first, label, ..Node::default() });
            }
            let children = index(first_child)..index(nodes.len());
            nodes[at] = Node { children, prefixes, exacts, ..nodes[at].clone() };
        }
        Self { nodes: nodes.into(), labels: labels.into(), uses: uses.into() }
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.uses.len()
    }

    /// Tells every use of a path, until it is told to stop.
    #[inline]
    pub fn visit(&self, path: &[u8], mut tell: impl FnMut(PathUse) -> ControlFlow<()>) -> ControlFlow<()> {
        let Some(mut node) = self.nodes.first() else { return ControlFlow::Continue(()) };
        let mut rest = path;
        loop {
            self.uses(&node.prefixes).iter().try_for_each(|path_use| tell(*path_use))?;
            let Some(byte) = rest.first() else {
                return self.uses(&node.exacts).iter().try_for_each(|path_use| tell(*path_use));
            };
            let children = self.nodes.get(span(&node.children)).unwrap_or_default();
            let Ok(at) = children.binary_search_by_key(byte, |child| child.first) else { break };
            node = &children[at];
            let label = self.labels.get(span(&node.label)).unwrap_or_default();
            let Some(after) = rest.strip_prefix(label) else { break };
            rest = after;
        }
        ControlFlow::Continue(())
    }

    fn uses(&self, range: &Range<u32>) -> &[PathUse] {
        self.uses.get(span(range)).unwrap_or_default()
    }
}

/// What all of these sorted texts have in common behind `depth`: what the first and the last have.
fn shared(group: &[Literal], depth: usize) -> &[u8] {
    let text = |at: usize| group.get(at).and_then(|literal| literal.text.get(depth..)).unwrap_or_default();
    let (first, last) = (text(0), text(group.len().wrapping_sub(1)));
    let length = first.iter().zip(last).take_while(|(one, other)| one == other).count();
    first.get(..length).unwrap_or_default()
}

fn add<'l>(uses: &mut Vec<PathUse>, literals: impl Iterator<Item = &'l Literal>) -> Range<u32> {
    let start = index(uses.len());
    uses.extend(literals.map(|literal| literal.path_use));
    start..index(uses.len())
}

fn extend(labels: &mut Vec<u8>, label: &[u8]) -> Range<u32> {
    let start = index(labels.len());
    labels.extend_from_slice(label);
    start..index(labels.len())
}

/// All texts of a set together are far smaller than 4 GiB (`RULES_MAX` × `PATTERN_BYTES_MAX`).
fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn span(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::{Literal, Literals, PathUse};

    #[test]
    fn every_text_is_found_and_no_other() {
        let texts = ["", "/", "/v1", "/v2/", "/v2/a", "/v2/ab", "/v20", "/w", "/v2/", "x"];
        let literal = |(at, text): (usize, &&str)| Literal {
            text: text.as_bytes().into(),
            exact: at % 3 == 2,
            path_use: PathUse::Present(at as u32),
        };
        let literals = Literals::new(texts.iter().enumerate().map(literal).collect());
        for path in [
            "", "/", "/v", "/v1", "/v2", "/v2/", "/v2/a", "/v2/abc", "/v2/b", "/v20/", "/w", "x", "xy",
            "\u{ff}",
        ] {
            let mut found = Vec::new();
            let _ = literals.visit(path.as_bytes(), |path_use| {
                let (PathUse::Present(at) | PathUse::Absent(at)) = path_use;
                found.push(at as usize);
                ControlFlow::Continue(())
            });
            found.sort_unstable();
            let holds = |at: &usize| match at % 3 {
                2 => path == texts[*at],
                _ => path.starts_with(texts[*at]),
            };
            assert_eq!(found, (0..texts.len()).filter(holds).collect::<Vec<_>>(), "{path}");
        }
        let _ = Literals::default().visit(b"/", |_| panic!("nothing is in it"));
    }
}
