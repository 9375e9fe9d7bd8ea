use hashbrown::HashMap;
use slab::Slab;

const ROOT: usize = 0;

/// Subjects or patterns by their tokens, each with a value.
///
/// The same tree answers both questions: which stored subjects a pattern
/// selects, and which stored patterns select a subject.
#[derive(Debug)]
pub(crate) struct TokenTree {
    nodes: Slab<Node>,
}

/// What follows a token that is not the last one.
#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Child>,
}

/// A token. Most are the last of their path and have no node.
#[derive(Debug, Default, Clone, Copy)]
struct Child {
    /// The value of the path that ends here.
    value: Option<u32>,
    node: Option<u32>,
}

impl TokenTree {
    pub(crate) fn new() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        Self { nodes }
    }

    pub(crate) fn get(&self, path: &str) -> Option<u32> {
        let (mut at, mut path) = (ROOT, path);
        loop {
            let (token, rest) = first_token(path);
            let child = self.nodes[at].children.get(token)?;
            let Some(rest) = rest else {
                return child.value;
            };
            (at, path) = (child.node? as usize, rest);
        }
    }

    pub(crate) fn insert(&mut self, path: &str, value: u32) {
        let (mut at, mut path) = (ROOT, path);
        loop {
            let (token, rest) = first_token(path);
            let child = self.nodes[at].children.entry(token.into()).or_default();
            let Some(rest) = rest else {
                child.value = Some(value);
                return;
            };
            let node = child.node.unwrap_or_else(|| {
                let node = self.nodes.insert(Node::default()) as u32;
                if let Some(child) = self.nodes[at].children.get_mut(token) {
                    child.node = Some(node);
                }
                node
            });
            (at, path) = (node as usize, rest);
        }
    }

    /// Removes `path` and the branches that lead nowhere without it.
    pub(crate) fn remove(&mut self, path: &str) {
        self.remove_below(ROOT, path);
    }

    // All walks recurse once a token; a subject has at most 512 of them.

    fn remove_below(&mut self, at: usize, path: &str) {
        let (token, rest) = first_token(path);
        let Some(mut child) = self.nodes[at].children.get(token).copied() else {
            return;
        };
        match (rest, child.node) {
            (None, _) => child.value = None,
            (Some(rest), Some(node)) => {
                self.remove_below(node as usize, rest);
                if self.nodes[node as usize].children.is_empty() {
                    self.nodes.remove(node as usize);
                    child.node = None;
                }
            }
            (Some(_), None) => return,
        }
        let children = &mut self.nodes[at].children;
        if child.value.is_none() && child.node.is_none() {
            children.remove(token);
        } else if let Some(kept) = children.get_mut(token) {
            *kept = child;
        }
    }

    /// Calls `found` with the value of each stored subject that `pattern` selects.
    pub(crate) fn subjects_matching(&self, pattern: &str, found: &mut impl FnMut(u32)) {
        self.select(ROOT, pattern, found);
    }

    fn select(&self, at: usize, pattern: &str, found: &mut impl FnMut(u32)) {
        let children = &self.nodes[at].children;
        let (token, rest) = first_token(pattern);
        let mut go_on = |child: &Child| match (rest, child.node) {
            (None, _) => child.value.into_iter().for_each(&mut *found),
            (Some(rest), Some(node)) => self.select(node as usize, rest, found),
            (Some(_), None) => {}
        };
        match token {
            ">" => self.all_below(at, found),
            "*" => children.values().for_each(go_on),
            _ => {
                if let Some(child) = children.get(token) {
                    go_on(child);
                }
            }
        }
    }

    fn all_below(&self, at: usize, found: &mut impl FnMut(u32)) {
        for child in self.nodes[at].children.values() {
            child.value.into_iter().for_each(&mut *found);
            if let Some(node) = child.node {
                self.all_below(node as usize, found);
            }
        }
    }

    /// Calls `found` with the value of each stored pattern that selects `subject`.
    pub(crate) fn patterns_matching(&self, subject: &str, found: &mut impl FnMut(u32)) {
        self.recognize(ROOT, subject, found);
    }

    fn recognize(&self, at: usize, subject: &str, found: &mut impl FnMut(u32)) {
        let children = &self.nodes[at].children;
        let (token, rest) = first_token(subject);
        for child in [token, "*"]
            .into_iter()
            .filter_map(|token| children.get(token))
        {
            match (rest, child.node) {
                (None, _) => child.value.into_iter().for_each(&mut *found),
                (Some(rest), Some(node)) => self.recognize(node as usize, rest, found),
                (Some(_), None) => {}
            }
        }
        let tail = children.get(">").and_then(|child| child.value);
        tail.into_iter().for_each(found);
    }
}

fn first_token(path: &str) -> (&str, Option<&str>) {
    match path.split_once('.') {
        Some((token, rest)) => (token, Some(rest)),
        None => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use a3s_event_core::subject;
    use proptest::prelude::*;

    use super::TokenTree;

    fn path(tokens: &'static [&'static str]) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(tokens), 1..4)
            .prop_map(|tokens| tokens.join("."))
    }

    fn pattern() -> impl Strategy<Value = String> {
        (path(&["a", "b", "c", "*"]), any::<bool>())
            .prop_map(|(head, tail)| if tail { format!("{head}.>") } else { head })
    }

    proptest! {
        #[test]
        fn both_walks_agree_with_the_matcher(
            subjects in prop::collection::hash_set(path(&["a", "b", "c"]), 0..12),
            patterns in prop::collection::hash_set(pattern(), 0..12),
            removed in any::<prop::sample::Index>(),
        ) {
            let subjects: Vec<String> = subjects.into_iter().collect();
            let patterns: Vec<String> = patterns.into_iter().collect();
            let (mut by_subject, mut by_pattern) = (TokenTree::new(), TokenTree::new());
            for (id, subject) in (0..).zip(&subjects) {
                by_subject.insert(subject, id);
            }
            for (id, pattern) in (0..).zip(&patterns) {
                by_pattern.insert(pattern, id);
            }
            let gone = (!subjects.is_empty()).then(|| removed.index(subjects.len()));
            if let Some(gone) = gone {
                by_subject.remove(&subjects[gone]);
            }
            for (pattern_id, pattern) in (0u32..).zip(&patterns) {
                let mut selected = Vec::new();
                by_subject.subjects_matching(pattern, &mut |id| selected.push(id));
                for (subject_id, subject) in (0u32..).zip(&subjects) {
                    let expected = subject::matches(pattern, subject);
                    let kept = gone != Some(subject_id as usize);
                    prop_assert_eq!(selected.contains(&subject_id), expected && kept, "{} {}", pattern, subject);
                    let mut recognized = Vec::new();
                    by_pattern.patterns_matching(subject, &mut |id| recognized.push(id));
                    prop_assert_eq!(recognized.contains(&pattern_id), expected, "{} {}", pattern, subject);
                }
            }
        }

        #[test]
        fn removing_everything_leaves_the_root_alone(
            subjects in prop::collection::hash_set(path(&["a", "b", "c"]), 0..12),
        ) {
            let mut tree = TokenTree::new();
            for (id, subject) in (0..).zip(&subjects) {
                tree.insert(subject, id);
            }
            for subject in &subjects {
                prop_assert!(tree.get(subject).is_some());
                tree.remove(subject);
                prop_assert!(tree.get(subject).is_none());
            }
            prop_assert_eq!(tree.nodes.len(), 1);
        }
    }
}
