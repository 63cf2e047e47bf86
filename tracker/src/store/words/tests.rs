//! Words to the store and from it.

use proptest::prelude::*;

use super::*;

const HERE: Scope = Scope { is_local: true };
const APART: Scope = Scope { is_local: false };

fn text(text: impl ToString) -> Value {
    Value::BulkString(text.to_string().into_bytes())
}

fn member(address: &str, id: u8) -> Vec<u8> {
    let heard = Heard {
        address: address.parse().unwrap(),
        peer_id: PeerId([id; 20]),
        kind: Kind::Leecher,
        age: 0,
    };
    write_member(&heard, &mut [0; 38]).to_vec()
}

fn answer(now: u64, mark: u64, peers: Vec<Value>, gone: Vec<Value>) -> Value {
    let (peers, gone) = (Value::Array(peers), Value::Array(gone));
    Value::Array(vec![text(now), text(mark), text(7), text(3), peers, gone])
}

#[test]
fn what_is_new_is_read_with_its_age() {
    let now = 1_700_000_000_000_000;
    let peers = vec![
        Value::BulkString(member("10.0.0.1:80", 1)),
        text((now - 5_000_000) * 2 + 1),
        Value::BulkString(member("[2001:db8::1]:81", 2)),
        text(now * 2),
    ];
    let gone = vec![Value::BulkString(member("10.0.0.2:82", 3)), text(now)];
    let news = read_news(&answer(now, now, peers, gone), APART).unwrap();
    assert_eq!((news.mark, news.more), (Mark { at: now, epoch: 7 }, false));
    assert_eq!(news.completed, 3);
    let told: Vec<_> = news
        .heard
        .iter()
        .map(|heard| (heard.address.to_string(), heard.kind, heard.age))
        .collect();
    let expect = [
        ("10.0.0.2:82", Kind::Gone, 0),
        ("10.0.0.1:80", Kind::Seeder, 5),
        ("[2001:db8::1]:81", Kind::Leecher, 0),
    ];
    let expect = expect.map(|(address, kind, age)| (address.to_owned(), kind, age));
    assert_eq!(told, expect);
}

#[test]
fn unfit_members_are_left_out() {
    let check = |member: Vec<u8>, scope, expect: usize| {
        let peers = vec![Value::BulkString(member.clone()), text(2)];
        let news = read_news(&answer(9, 9, peers, Vec::new()), scope).unwrap();
        assert_eq!(news.heard.len(), expect, "{member:?}");
    };
    check(member("10.0.0.1:80", 1), APART, 1);
    check(member("127.0.0.1:80", 1), APART, 0);
    check(member("127.0.0.1:80", 1), HERE, 1);
    check(member("[::1]:80", 1), APART, 0);
    check(member("[fe80::1]:80", 1), APART, 0);
    check(member("10.0.0.1:0", 1), HERE, 0);
    check(member("0.0.0.0:80", 1), HERE, 0);
    check(member("224.0.0.1:80", 1), HERE, 0);
    check(member("[::ffff:10.0.0.1]:80", 1), HERE, 0);
    check(Vec::new(), HERE, 0);
    check(vec![1; 27], HERE, 0);
    check(vec![1; 21], HERE, 0);
}

#[test]
fn an_answer_that_is_none_is_refused() {
    let list = || Value::Array(Vec::new());
    for bad in [
        Value::Nil,
        text("OK"),
        Value::Array(vec![text(1)]),
        Value::Array(vec![text("x"), text(1), text(1), text(1), list(), list()]),
        Value::Array(vec![text(1), text(1), text(1), text(1), text(1), list()]),
        Value::Array(vec![text(1), text(1), text(-1), text(1), list(), list()]),
    ] {
        assert_eq!(read_news(&bad, HERE), None, "{bad:?}");
    }
}

proptest! {
    #[test]
    fn a_member_is_read_as_it_was_written(
        v4: [u8; 4], v6: [u8; 16], is_v6: bool, port: u16, id: [u8; 20],
    ) {
        let ip = if is_v6 { IpAddr::from(v6) } else { IpAddr::from(v4) };
        let address = SocketAddr::new(ip.to_canonical(), port);
        let heard = Heard { address, peer_id: PeerId(id), kind: Kind::Seeder, age: 0 };
        let mut bytes = [0; 38];
        let member = write_member(&heard, &mut bytes);
        prop_assert_eq!(read_member(member), Some((address, PeerId(id))));
    }

    #[test]
    fn any_member_and_score_is_read_without_a_panic(
        members in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..60), "[0-9a-z.+-]{0,24}"), 0..20),
        now: u64,
    ) {
        let list: Vec<_> = members
            .into_iter()
            .flat_map(|(member, score)| [Value::BulkString(member), text(score)])
            .collect();
        let news = read_news(&answer(now, now, list.clone(), list), APART).unwrap();
        prop_assert!(news.heard.iter().all(|heard| APART.takes(&heard.address)));
    }
}
