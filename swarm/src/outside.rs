//! Our own address as others see it. BEP 10, `yourip`.
//!
//! Anybody can say anything: only what most of several say counts, and each address has one voice.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::limits::OUTSIDE_VOICES_MIN;

/// What they agree on, IPv4 and IPv6: who speaks, and what it says our address is.
pub(crate) fn agreed(words: impl Iterator<Item = (IpAddr, IpAddr)>) -> [Option<IpAddr>; 2] {
    let voices: BTreeMap<IpAddr, IpAddr> = words.collect();
    [true, false].map(|v4| {
        let words = || voices.values().filter(|said| said.is_ipv4() == v4);
        let mut counts = BTreeMap::new();
        for said in words() {
            *counts.entry(*said).or_insert(0_usize) += 1;
        }
        let (said, voices) = counts.into_iter().max_by_key(|&(_, voices)| voices)?;
        let most = voices >= OUTSIDE_VOICES_MIN && voices * 2 > words().count();
        most.then_some(said)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[(&str, &str)], expect: [Option<&str>; 2]) {
        let words = words.iter();
        let words = words.map(|(who, what)| (who.parse().unwrap(), what.parse().unwrap()));
        let expect = expect.map(|ip| ip.map(|ip| ip.parse().unwrap()));
        assert_eq!(agreed(words), expect);
    }

    #[test]
    fn what_most_of_several_say_counts() {
        let us = "9.9.9.9";
        let three = [("1.1.1.1", us), ("2.2.2.2", us), ("3.3.3.3", us)];
        check(&three, [Some(us), None]);
        check(&three[..2], [None, None]);
        let lies = ["4.4.4.4", "5.5.5.5", "6.6.6.6"].map(|liar| (liar, "8.8.8.8"));
        check(&[&three[..], &lies].concat(), [None, None]);
        check(&[&three[..], &lies[..2]].concat(), [Some(us), None]);
        check(
            &three.map(|(who, _)| (who, "2001::9")),
            [None, Some("2001::9")],
        );
    }

    #[test]
    fn address_has_one_voice() {
        check(&[("1.1.1.1", "9.9.9.9"); 5], [None, None]);
    }
}
