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

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, usize>,
    parent: usize,
    value: Option<u32>,
}

impl TokenTree {
    pub(crate) fn new() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        Self { nodes }
    }

    pub(crate) fn get(&self, path: &str) -> Option<u32> {
        self.nodes[self.find(path)?].value
    }

    pub(crate) fn insert(&mut self, path: &str, value: u32) {
        let mut at = ROOT;
        for token in path.split('.') {
            at = match self.nodes[at].children.get(token) {
                Some(&child) => child,
                None => {
                    let child = self.nodes.insert(Node {
                        parent: at,
                        ..Node::default()
                    });
                    self.nodes[at].children.insert(token.into(), child);
                    child
                }
            };
        }
        self.nodes[at].value = Some(value);
    }

    /// Removes `path` and the branches that lead nowhere without it.
    pub(crate) fn remove(&mut self, path: &str) {
        let Some(mut at) = self.find(path) else {
            return;
        };
        self.nodes[at].value = None;
        for token in path.rsplit('.') {
            let node = &self.nodes[at];
            if node.value.is_some() || !node.children.is_empty() {
                return;
            }
            let parent = self.nodes.remove(at).parent;
            self.nodes[parent].children.remove(token);
            at = parent;
        }
    }

    /// Calls `found` with the value of each stored subject that `pattern` selects.
    pub(crate) fn subjects_matching(&self, pattern: &str, found: &mut impl FnMut(u32)) {
        self.select(ROOT, Some(pattern), found);
    }

    /// Calls `found` with the value of each stored pattern that selects `subject`.
    pub(crate) fn patterns_matching(&self, subject: &str, found: &mut impl FnMut(u32)) {
        self.recognize(ROOT, Some(subject), found);
    }

    fn find(&self, path: &str) -> Option<usize> {
        path.split('.').try_fold(ROOT, |at, token| {
            self.nodes[at].children.get(token).copied()
        })
    }

    // Both walks recurse once a token; a subject has at most 512 of them.

    fn select(&self, at: usize, pattern: Option<&str>, found: &mut impl FnMut(u32)) {
        let node = &self.nodes[at];
        let Some(pattern) = pattern else {
            if let Some(value) = node.value {
                found(value);
            }
            return;
        };
        let (token, rest) = first_token(pattern);
        match token {
            ">" => {
                for &child in node.children.values() {
                    self.all_below(child, found);
                }
            }
            "*" => {
                for &child in node.children.values() {
                    self.select(child, rest, found);
                }
            }
            _ => {
                if let Some(&child) = node.children.get(token) {
                    self.select(child, rest, found);
                }
            }
        }
    }

    fn all_below(&self, at: usize, found: &mut impl FnMut(u32)) {
        let node = &self.nodes[at];
        if let Some(value) = node.value {
            found(value);
        }
        for &child in node.children.values() {
            self.all_below(child, found);
        }
    }

    fn recognize(&self, at: usize, subject: Option<&str>, found: &mut impl FnMut(u32)) {
        let node = &self.nodes[at];
        let Some(subject) = subject else {
            if let Some(value) = node.value {
                found(value);
            }
            return;
        };
        if node.children.is_empty() {
            return;
        }
        let (token, rest) = first_token(subject);
        if let Some(&child) = node.children.get(token) {
            self.recognize(child, rest, found);
        }
        if let Some(&child) = node.children.get("*") {
            self.recognize(child, rest, found);
        }
        if let Some(value) = node
            .children
            .get(">")
            .and_then(|&child| self.nodes[child].value)
        {
            found(value);
        }
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
