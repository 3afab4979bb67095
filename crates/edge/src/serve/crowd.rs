//! Bounds on how many may be inside at once, where whoever came first gives way to who comes last.
//!
//! For connections, the newest is the one that is surely alive: its end has just spoken. To refuse it would let a few that only hold
//! their places, or that are dead and do not know it, keep everybody else out.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Groups, each with its own bound.
#[derive(Debug)]
pub(super) struct Crowd<K: Eq + Hash> {
    most: usize,
    inside: Mutex<Inside<K>>,
}

#[derive(Debug)]
struct Inside<K> {
    next: u64,
    /// By the order of coming. Whoever is dropped from here has to go.
    groups: HashMap<K, BTreeMap<u64, oneshot::Sender<()>>>,
}

/// A place inside; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place<K: Eq + Hash> {
    crowd: Arc<Crowd<K>>,
    group: K,
    number: u64,
    must_go: oneshot::Receiver<()>,
}

impl<K: Clone + Eq + Hash> Crowd<K> {
    /// At most so many (at least one) in each group.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), inside: Mutex::new(Inside { next: 0, groups: HashMap::new() }) })
    }

    /// Lets somebody in; the oldest of the group has to go when it is full.
    pub(super) fn enter(self: &Arc<Self>, group: K) -> Place<K> {
        let (stay, must_go) = oneshot::channel();
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let number = inside.next;
        inside.next += 1;
        let members = inside.groups.entry(group.clone()).or_default();
        while members.len() >= self.most {
            members.pop_first();
        }
        members.insert(number, stay);
        Place { crowd: Arc::clone(self), group, number, must_go }
    }
}

impl<K: Eq + Hash> Place<K> {
    /// Until this place has to be given up.
    pub(super) async fn lost(&mut self) {
        // Nothing is ever sent: the other half is dropped.
        drop((&mut self.must_go).await);
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut inside = self.crowd.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(members) = inside.groups.get_mut(&self.group) {
            members.remove(&self.number);
            if members.is_empty() {
                inside.groups.remove(&self.group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn has_to_go(place: &mut Place<&str>) -> bool {
        tokio::time::timeout(Duration::from_millis(1), place.lost()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_a_group_gives_way_to_the_newest() {
        let crowd = Crowd::new(2);
        let mut first = crowd.enter("a");
        let mut second = crowd.enter("a");
        let mut other = crowd.enter("b");
        assert!(!has_to_go(&mut first).await && !has_to_go(&mut second).await);
        let mut third = crowd.enter("a");
        assert!(has_to_go(&mut first).await && !has_to_go(&mut second).await && !has_to_go(&mut third).await);
        drop(second);
        let mut fourth = crowd.enter("a");
        assert!(!has_to_go(&mut third).await && !has_to_go(&mut fourth).await, "who has left makes room");
        assert!(!has_to_go(&mut other).await, "another group");
        drop((first, third, fourth, other));
        assert!(crowd.inside.lock().unwrap().groups.is_empty(), "nothing is left behind");
    }
}
