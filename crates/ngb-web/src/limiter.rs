//! How many wrong logins an address may try.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Mutex,
    time::Duration,
};

use ngb_core::clock::Timestamp;

/// Wrong logins that an address has in one [`WINDOW`].
const MAX_WRONG: u32 = 10;

const WINDOW: Duration = Duration::from_secs(10 * 60);

/// Addresses that are remembered; beyond it the one that was first seen is forgotten.
const MAX_ADDRESSES: usize = 4_096;

#[derive(Debug, Default)]
pub(crate) struct Limiter(Mutex<HashMap<IpAddr, Wrong>>);

#[derive(Clone, Copy, Debug)]
struct Wrong {
    count: u32,
    since: Timestamp,
}

impl Limiter {
    /// Seconds to wait before the next try; none when one may try now.
    pub(crate) fn wait_s(&self, from: IpAddr, now: Timestamp) -> Option<u64> {
        let known = self.0.lock().expect("nobody panics while holding it");
        let wrong = known.get(&network(from)).filter(|it| MAX_WRONG <= it.count)?;
        let left = (wrong.since + WINDOW).since(now);
        (!left.is_zero()).then(|| left.as_secs() + 1)
    }

    /// Notes a wrong login.
    pub(crate) fn wrong(&self, from: IpAddr, now: Timestamp) {
        let mut known = self.0.lock().expect("nobody panics while holding it");
        if known.len() == MAX_ADDRESSES {
            known.retain(|_, it| now < it.since + WINDOW);
        }
        if known.len() == MAX_ADDRESSES
            && let Some(oldest) = known.iter().min_by_key(|it| it.1.since).map(|it| *it.0)
        {
            known.remove(&oldest);
        }
        let wrong = known.entry(network(from)).or_insert(Wrong { count: 0, since: now });
        if wrong.since + WINDOW <= now {
            *wrong = Wrong { count: 0, since: now };
        }
        wrong.count += 1;
    }
}

/// What counts as one address: of IPv6 the 64 bits that a single subscriber gets.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(it) => {
            let bits = it.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_wrong_too_often_waits() {
        let limiter = Limiter::default();
        let (bad, neighbour, other) = (
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
            "127.0.0.1".parse().unwrap(),
        );
        let start = Timestamp(0);
        for _ in 0..MAX_WRONG {
            assert_eq!(limiter.wait_s(bad, start), None);
            limiter.wrong(bad, start);
        }
        assert_eq!(limiter.wait_s(bad, start), Some(601));
        assert_eq!(limiter.wait_s(neighbour, start), Some(601), "the same network");
        assert_eq!(limiter.wait_s(other, start), None);
        assert_eq!(limiter.wait_s(bad, start + WINDOW), None);
        limiter.wrong(bad, start + WINDOW);
        assert_eq!(limiter.wait_s(bad, start + WINDOW), None, "a new window");
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = Limiter::default();
        for n in 0..10_000u32 {
            limiter.wrong(IpAddr::from(n.to_be_bytes()), Timestamp(n.into()));
        }
        assert_eq!(limiter.0.lock().unwrap().len(), MAX_ADDRESSES);
    }
}
