//! The order in which parts are joined: a tree that depends on their number alone.

use std::ops::Range;

/// Most nodes that are joined at once. Up to so many parts are joined one after another, as all parts were before there was a tree.
pub(crate) const FAN_IN: u64 = 64;

/// Part numbers `0..parts` as the leaves of a tree. A node joins up to `fan_in` nodes of the level below it, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tree {
    parts: u64,
    fan_in: u64,
}

/// A leaf, or a node with two children or more: what would join a single node is that node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    /// Height above the leaves.
    level: u32,
    /// Number of its first part.
    first: u64,
    /// Number of the part after its last.
    end: u64,
}

impl Node {
    /// The parts below it.
    pub(crate) fn parts(&self) -> Range<u64> {
        self.first..self.end
    }

    /// The part that it is, if it is a leaf.
    pub(crate) fn leaf(&self) -> Option<u64> {
        (self.level == 0).then_some(self.first)
    }
}

impl Tree {
    /// The tree over so many parts; there is at least one.
    pub(crate) fn new(parts: u64) -> Self {
        Self::with_fan_in(parts, FAN_IN)
    }

    /// A tree of which a node joins up to `fan_in` nodes, two or more.
    pub(crate) fn with_fan_in(parts: u64, fan_in: u64) -> Self {
        Self { parts: parts.max(1), fan_in }
    }

    /// Parts below a node of a level that is full.
    fn reach(self, level: u32) -> u64 {
        self.fan_in.saturating_pow(level)
    }

    /// The node of a level that begins with a part, or the only node below it.
    fn node(self, level: u32, first: u64) -> Node {
        let end = first.saturating_add(self.reach(level)).min(self.parts);
        let lowest = (0..=level).find(|lower| self.reach(*lower) >= end - first).unwrap_or(level);
        Node { level: lowest, first, end }
    }

    /// The node that joins all parts.
    pub(crate) fn root(self) -> Node {
        // Above 2 to the power of 64 there are no numbers.
        self.node(u64::BITS, 0)
    }

    /// What a node joins, in order.
    pub(crate) fn children(self, node: Node) -> impl DoubleEndedIterator<Item = Node> {
        let level = node.level.saturating_sub(1);
        let step = self.reach(level);
        let count = if node.level == 0 { 0 } else { (node.end - node.first).div_ceil(step) };
        (0..count).map(move |place| self.node(level, node.first + place * step))
    }

    /// The nodes that a part is below, from the lowest to the root; not the part itself.
    pub(crate) fn above(self, part: u64) -> Vec<Node> {
        let mut path = Vec::new();
        let mut node = self.root();
        while node.level > 0 {
            path.push(node);
            let Some(next) = self.children(node).find(|child| child.parts().contains(&part)) else { break };
            node = next;
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(tree: Tree, node: Node, found: &mut Vec<u64>) {
        if let Some(part) = node.leaf() {
            found.push(part);
        }
        let children: Vec<Node> = tree.children(node).collect();
        assert!(children.len() as u64 <= tree.fan_in && children.len() != 1, "{node:?}: {children:?}");
        assert_eq!(children.is_empty(), node.leaf().is_some());
        for child in children {
            leaves(tree, child, found);
        }
    }

    proptest! {
        #[test]
        fn every_part_is_one_leaf_in_order(parts in 1_u64..10_000, fan_in in 2_u64..70) {
            let tree = Tree::with_fan_in(parts, fan_in);
            let mut found = Vec::new();
            leaves(tree, tree.root(), &mut found);
            prop_assert!(found.iter().copied().eq(0..parts));
            for part in [0, parts / 2, parts - 1] {
                let above = tree.above(part);
                prop_assert!(above.iter().all(|node| node.parts().contains(&part)));
                prop_assert!(above.last().is_none_or(|last| *last == tree.root()));
                prop_assert!(above.windows(2).all(|pair| tree.children(pair[1]).any(|child| child == pair[0])));
            }
        }
    }

    #[test]
    fn few_parts_are_joined_by_one_node() {
        for parts in [2, 3, 63, 64] {
            let tree = Tree::new(parts);
            assert!(tree.children(tree.root()).map(|node| node.leaf()).eq((0..parts).map(Some)), "{parts}");
        }
        assert_eq!(Tree::new(1).root().leaf(), Some(0));
        // One more: 64 parts are joined first, and the last is a leaf beside them.
        let tree = Tree::new(65);
        let children: Vec<Node> = tree.children(tree.root()).collect();
        assert_eq!(children.iter().map(Node::parts).collect::<Vec<_>>(), [0..64, 64..65]);
        assert_eq!(children[1].leaf(), Some(64));
        assert_eq!(tree.above(64), [tree.root()]);
    }

    #[test]
    fn there_may_be_any_number_of_parts() {
        for parts in [u64::MAX, 1 << 60, 100_000_000] {
            let tree = Tree::new(parts);
            assert_eq!(tree.root().parts(), 0..parts);
            assert!(tree.above(parts - 1).len() <= 11);
        }
    }
}
