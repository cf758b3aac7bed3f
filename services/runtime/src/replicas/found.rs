//! Which replicas there are, and which of them answer.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use tonic::transport::Channel;

/// Makes a channel to an address, which connects when it is first used. None if nothing can be there.
pub(super) type Connect = Box<dyn Fn(SocketAddr) -> Option<Channel> + Send + Sync>;

/// One replica, by one channel. Cheap to clone.
#[derive(Clone)]
pub(super) struct Replica {
    pub(super) address: SocketAddr,
    pub(super) channel: Channel,
    /// Which of all channels it is: what is said of an earlier one counts no more.
    number: u64,
    answers: bool,
}

/// All replicas.
pub(super) struct Found {
    connect: Connect,
    replicas: Vec<Replica>,
    channels: u64,
    next: AtomicUsize,
}

impl Found {
    /// None yet.
    pub(super) fn new(connect: Connect) -> Self {
        Self {
            connect,
            replicas: Vec::new(),
            channels: 0,
            next: AtomicUsize::new(0),
        }
    }

    /// Keeps the connections to those that are still there; says whether any came or went. Calls in progress end on those to the others.
    pub(super) fn set(&mut self, addresses: &BTreeSet<SocketAddr>) -> bool {
        let known = self.replicas.iter().map(|replica| &replica.address);
        if known.eq(addresses) {
            return false;
        }
        let known = std::mem::take(&mut self.replicas);
        self.replicas = addresses
            .iter()
            .filter_map(|address| {
                let one = known.iter().find(|replica| replica.address == *address);
                one.cloned().or_else(|| self.replica(*address))
            })
            .collect();
        true
    }

    /// Up to so many, beginning with the one whose turn it is; those that answer come before those that do not.
    pub(super) fn round_robin(&self, most: usize) -> Vec<Replica> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let (mut turn, mut silent): (Vec<_>, Vec<_>) =
            self.replicas.iter().partition(|replica| replica.answers);
        for some in [&mut turn, &mut silent] {
            // Each on its own, or whoever comes after a silent one has its share too.
            let first = first.checked_rem(some.len()).unwrap_or(0);
            some.rotate_left(first);
        }
        turn.into_iter().chain(silent).take(most).cloned().collect()
    }

    /// Those of which it is not known that they answer.
    pub(super) fn silent(&self) -> Vec<Replica> {
        let silent = self.replicas.iter().filter(|replica| !replica.answers);
        silent.cloned().collect()
    }

    /// A replica answered.
    pub(super) fn answered(&mut self, replica: &Replica) {
        let same = |known: &&mut Replica| known.number == replica.number;
        if let Some(known) = self.replicas.iter_mut().find(same) {
            known.answers = true;
        }
    }

    /// A connection failed. Those who still wait in its channel are not waited for by the next ones, which have a channel of their own.
    pub(super) fn failed(&mut self, replica: &Replica) {
        let same = |known: &Replica| known.number == replica.number;
        let Some(place) = self.replicas.iter().position(same) else {
            return;
        };
        if let Some(anew) = self.replica(replica.address) {
            self.replicas[place] = anew;
        }
    }

    /// One that has yet to answer.
    fn replica(&mut self, address: SocketAddr) -> Option<Replica> {
        self.channels += 1;
        Some(Replica {
            address,
            channel: (self.connect)(address)?,
            number: self.channels,
            answers: false,
        })
    }
}
