use a3s_event_core::subject::SubjectPattern;
use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use crate::{routes::Routes, tree::TokenTree};

/// The retained subjects.
#[derive(Debug)]
pub(crate) struct Subjects {
    hasher: DefaultHashBuilder,
    by_name: HashTable<u32>,
    by_token: TokenTree,
    records: Slab<Subject>,
}

#[derive(Debug)]
pub(crate) struct Subject {
    name: Box<str>,
    /// Its newest sequence.
    pub(crate) last: u64,
    /// How many of its events are retained; never 0.
    pub(crate) count: u64,
    /// The narrow routes it feeds, as of `generation`.
    routes: Vec<u32>,
    generation: u64,
}

impl Subjects {
    pub(crate) fn new(hasher: DefaultHashBuilder) -> Self {
        Self {
            hasher,
            by_name: HashTable::new(),
            by_token: TokenTree::new(),
            records: Slab::new(),
        }
    }

    /// Finds a subject; `hash` is that of the hasher given at construction.
    pub(crate) fn find(&self, hash: u64, name: &str) -> Option<u32> {
        self.by_name
            .find(hash, |&id| &*self.records[id as usize].name == name)
            .copied()
    }

    /// Adds a subject that [`find`](Self::find) did not know, without events.
    pub(crate) fn insert(&mut self, hash: u64, name: &str) -> u32 {
        let id = self.records.insert(Subject {
            name: name.into(),
            last: 0,
            count: 0,
            routes: Vec::new(),
            // Generations start at 1, so the routes are looked up at first use.
            generation: 0,
        }) as u32;
        let (hasher, records) = (&self.hasher, &self.records);
        self.by_name.insert_unique(hash, id, |&id| {
            std::hash::BuildHasher::hash_one(hasher, &*records[id as usize].name)
        });
        self.by_token.insert(name, id);
        id
    }

    pub(crate) fn get(&self, id: u32) -> &Subject {
        &self.records[id as usize]
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> &mut Subject {
        &mut self.records[id as usize]
    }

    /// One event of the subject was evicted; the last one takes the subject along.
    pub(crate) fn evicted(&mut self, id: u32) {
        let record = &mut self.records[id as usize];
        record.count -= 1;
        if record.count > 0 {
            return;
        }
        let record = self.records.remove(id as usize);
        let hash = std::hash::BuildHasher::hash_one(&self.hasher, &*record.name);
        if let Ok(found) = self.by_name.find_entry(hash, |&candidate| candidate == id) {
            found.remove();
        }
        self.by_token.remove(&record.name);
    }

    /// The narrow routes that the subject feeds.
    pub(crate) fn routes(&mut self, id: u32, routes: &Routes) -> &[u32] {
        let record = &mut self.records[id as usize];
        if record.generation != routes.generation() {
            record.generation = routes.generation();
            record.routes.clear();
            routes.matching(&record.name, &mut record.routes);
        }
        &record.routes
    }

    /// The retained subjects that `pattern` selects.
    pub(crate) fn selected(&self, pattern: &SubjectPattern) -> Vec<u32> {
        let mut selected = Vec::new();
        self.by_token
            .subjects_matching(pattern.as_str(), &mut |id| selected.push(id));
        selected
    }
}
