use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    ops::Range,
    process,
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

use crate::error::{Error, Result};

/// Above these are the numbers that a system gives to outgoing connections: from 32768 on Linux, from 49152 elsewhere
/// (RFC 6335, section 6). One of those would be taken while the server is away, and the server not come back.
const NUMBERS: Range<u16> = 16_384..32_768;

/// A port of 127.0.0.1 that belongs to one server, also while that server is down.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    /// Tells other processes that the number is in use. The server has no use for UDP.
    _claim: UdpSocket,
}

impl Port {
    /// Takes a number that nobody else uses and that this process has not used lately:
    /// a client of a server that is gone may still call there.
    pub(crate) fn claim() -> Result<Self> {
        static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
            // Processes that start together begin at different numbers.
            let random = RandomState::new().hash_one(process::id());
            AtomicU16::new((random & u64::from(u16::MAX)) as u16)
        });
        for _ in NUMBERS {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = NUMBERS.start + next % (NUMBERS.end - NUMBERS.start);
            let address = (Ipv4Addr::LOCALHOST, number);
            let Ok(claim) = UdpSocket::bind(address) else {
                continue;
            };
            if TcpListener::bind(address).is_ok() {
                return Ok(Self {
                    number,
                    _claim: claim,
                });
            }
        }
        Err(Error::new(format!("no port of {NUMBERS:?} is free")))
    }

    pub(crate) const fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_that_are_held_differ_and_are_free_for_a_server() {
        let ports: Vec<_> = (0..50).map(|_| Port::claim().unwrap()).collect();
        let numbers: BTreeSet<_> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        for port in &ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap();
        }
    }
}
