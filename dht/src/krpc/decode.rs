//! Bytes to messages. BEP 5 and what came after it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use shoal_bencode::{Dict, Mode, Options, parse};
use shoal_metainfo::InfoHash;
use shoal_metainfo::compact::{V4_BYTES, V6_BYTES};

use super::{
    Body, DecodeError, ErrorReply, Message, Method, Query, QueryFault, Response, SignedPut, Want,
    code,
};
use crate::address::Family;
use crate::bloom::Bloom;
use crate::id::{Contact, NodeId};
use crate::limits::{
    MESSAGE_DEPTH_MAX, MESSAGE_LENGTH_MAX, MESSAGE_TOKENS_MAX, SALT_LENGTH_MAX, TOKEN_LENGTH_MAX,
    TRANSACTION_LENGTH_MAX, VALUE_LENGTH_MAX,
};

/// Lenient: nodes of the field send keys out of order.
const OPTIONS: Options = Options {
    mode: Mode::Lenient,
    depth_max: MESSAGE_DEPTH_MAX,
    tokens_max: MESSAGE_TOKENS_MAX,
};

/// Reads one datagram.
///
/// # Errors
/// [`DecodeError`] when it is no message at all; such a one is passed over in silence.
///
/// ```
/// use shoal_dht::krpc::{Body, Method, decode};
///
/// let bytes = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
/// let message = decode(bytes).unwrap();
/// assert_eq!(message.transaction, b"aa");
/// assert!(matches!(message.body, Body::Query(query) if query.method == Method::Ping));
/// ```
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    if bytes.len() > MESSAGE_LENGTH_MAX {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    let tree = parse(bytes, OPTIONS)?;
    let dict = tree.root().as_dict().ok_or(DecodeError::NotADictionary)?;
    let transaction = string(dict, b"t").ok_or(DecodeError::Transaction)?;
    if transaction.len() > TRANSACTION_LENGTH_MAX {
        return Err(DecodeError::Transaction);
    }
    let body = match string(dict, b"y") {
        Some(b"q") => query(dict).map_or_else(Body::BadQuery, Body::Query),
        Some(b"r") => Body::Response(response(dict).ok_or(DecodeError::Response)?),
        Some(b"e") => Body::Error(error(dict)),
        _ => return Err(DecodeError::Kind),
    };
    Ok(Message {
        transaction,
        body,
        version: string(dict, b"v"),
        ip: string(dict, b"ip").and_then(address),
        read_only: flag(dict, b"ro"),
    })
}

fn query<'a>(dict: Dict<'_, 'a>) -> Result<Query<'a>, QueryFault> {
    let name = string(dict, b"q").ok_or(QueryFault::Argument("q"))?;
    let args = dict.get(b"a").and_then(|node| node.as_dict());
    let args = args.ok_or(QueryFault::Argument("a"))?;
    let id = id(args, "id")?;
    let want = want(args);
    let method = match name {
        b"ping" => Method::Ping,
        b"find_node" => Method::FindNode {
            target: self::id(args, "target")?,
            want,
        },
        b"get_peers" => Method::GetPeers {
            info_hash: self::id(args, "info_hash")?.into(),
            want,
            no_seed: flag(args, b"noseed"),
            scrape: flag(args, b"scrape"),
        },
        b"announce_peer" => announce(args)?,
        b"get" => Method::Get {
            target: self::id(args, "target")?,
            seq: int(args, b"seq"),
            want,
            padded: args.get(b"pad").is_some(),
        },
        b"put" => put(args)?,
        b"sample_infohashes" => Method::SampleInfohashes {
            target: self::id(args, "target")?,
            want,
        },
        // Methods of tomorrow that name a target are answered as the closest thing of today.
        _ => Method::FindNode {
            target: self::id(args, "target")
                .or_else(|_| self::id(args, "info_hash"))
                .map_err(|_| QueryFault::MethodUnknown)?,
            want,
        },
    };
    Ok(Query { id, method })
}

fn announce<'a>(args: Dict<'_, 'a>) -> Result<Method<'a>, QueryFault> {
    let port = match flag(args, b"implied_port") {
        true => None,
        false => {
            let port = int(args, b"port").and_then(|port| u16::try_from(port).ok());
            Some(
                port.filter(|&port| port > 0)
                    .ok_or(QueryFault::Argument("port"))?,
            )
        }
    };
    Ok(Method::AnnouncePeer {
        info_hash: id(args, "info_hash")?.into(),
        port,
        token: token(args)?,
        seed: flag(args, b"seed"),
    })
}

fn put<'a>(args: Dict<'_, 'a>) -> Result<Method<'a>, QueryFault> {
    let value = args.get(b"v").ok_or(QueryFault::Argument("v"))?.raw();
    if value.len() > VALUE_LENGTH_MAX {
        return Err(QueryFault::ValueTooLong);
    }
    let salt = string(args, b"salt").unwrap_or_default();
    if salt.len() > SALT_LENGTH_MAX {
        return Err(QueryFault::SaltTooLong);
    }
    let signed = match args.get(b"k") {
        None => None,
        Some(_) => Some(SignedPut {
            key: exact(args, b"k").ok_or(QueryFault::Argument("k"))?,
            salt,
            seq: int(args, b"seq")
                .filter(|&seq| seq >= 0)
                .ok_or(QueryFault::Argument("seq"))?,
            sig: exact(args, b"sig").ok_or(QueryFault::Argument("sig"))?,
            cas: int(args, b"cas"),
        }),
    };
    Ok(Method::Put {
        token: token(args)?,
        value,
        signed,
    })
}

fn response<'a>(dict: Dict<'_, 'a>) -> Option<Response<'a>> {
    let dict = dict.get(b"r")?.as_dict()?;
    let values = dict.get(b"values").and_then(|node| node.as_list());
    let values = values.into_iter().flatten();
    let values = values.filter_map(|node| node.as_bytes().and_then(address));
    let samples = string(dict, b"samples").and_then(|bytes| {
        let (hashes, rest) = bytes.as_chunks::<20>();
        let hashes = || hashes.iter().map(|&hash| InfoHash(hash)).collect();
        rest.is_empty().then(hashes)
    });
    let filter = |key| exact(dict, key).map(|&bytes| Box::new(Bloom(bytes)));
    let positive = |key| int(dict, key).and_then(|number| u64::try_from(number).ok());
    Some(Response {
        id: id(dict, "id").ok()?,
        nodes: string(dict, b"nodes").and_then(|bytes| contacts_from_bytes(bytes, Family::V4)),
        nodes6: string(dict, b"nodes6").and_then(|bytes| contacts_from_bytes(bytes, Family::V6)),
        values: values.collect(),
        token: token(dict).ok(),
        seeds: filter(b"BFsd"),
        peers: filter(b"BFpe"),
        value: dict.get(b"v").map(|node| node.raw()),
        key: exact(dict, b"k"),
        seq: int(dict, b"seq"),
        sig: exact(dict, b"sig"),
        samples,
        num: positive(b"num"),
        interval: positive(b"interval").map(Duration::from_secs),
    })
}

/// What says it is an error is one, however it says it.
fn error<'a>(dict: Dict<'_, 'a>) -> ErrorReply<'a> {
    let mut parts = dict
        .get(b"e")
        .and_then(|node| node.as_list())
        .into_iter()
        .flatten();
    let number = parts.next().and_then(|node| node.as_int());
    let text = parts.next().and_then(|node| node.as_bytes());
    ErrorReply {
        code: number.unwrap_or(code::GENERIC),
        text: text.unwrap_or_default(),
    }
}

/// Compact node info: a name and an address each; `None` unless they are whole. BEP 5, 32.
pub(crate) fn contacts_from_bytes(bytes: &[u8], family: Family) -> Option<Vec<Contact>> {
    match family {
        Family::V4 => nodes::<{ 20 + V4_BYTES }>(bytes),
        Family::V6 => nodes::<{ 20 + V6_BYTES }>(bytes),
    }
}

fn nodes<const LENGTH: usize>(bytes: &[u8]) -> Option<Vec<Contact>> {
    let (nodes, rest) = bytes.as_chunks::<LENGTH>();
    let contact = |node: &[u8; LENGTH]| {
        let (id, place) = node.split_first_chunk::<20>()?;
        let (id, address) = (NodeId(*id), address(place)?);
        Some(Contact { id, address })
    };
    let contacts = || nodes.iter().filter_map(contact).collect();
    rest.is_empty().then(contacts)
}

/// Compact address and port; either family by its length.
fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let ip = match ip.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

fn want(args: Dict<'_, '_>) -> Option<Want> {
    let list = args.get(b"want")?.as_list()?;
    let mut want = Want::default();
    for word in list.filter_map(|node| node.as_bytes()) {
        want.v4 |= word == b"n4";
        want.v6 |= word == b"n6";
    }
    (want.v4 || want.v6).then_some(want)
}

fn id(dict: Dict<'_, '_>, key: &'static str) -> Result<NodeId, QueryFault> {
    let bytes = exact(dict, key.as_bytes());
    bytes
        .map(|&bytes| NodeId(bytes))
        .ok_or(QueryFault::Argument(key))
}

fn token<'a>(dict: Dict<'_, 'a>) -> Result<&'a [u8], QueryFault> {
    let token = string(dict, b"token").filter(|token| token.len() <= TOKEN_LENGTH_MAX);
    token.ok_or(QueryFault::Argument("token"))
}

fn string<'a>(dict: Dict<'_, 'a>, key: &[u8]) -> Option<&'a [u8]> {
    dict.get(key)?.as_bytes()
}

fn exact<'a, const LENGTH: usize>(dict: Dict<'_, 'a>, key: &[u8]) -> Option<&'a [u8; LENGTH]> {
    string(dict, key)?.try_into().ok()
}

fn int(dict: Dict<'_, '_>, key: &[u8]) -> Option<i64> {
    dict.get(key)?.as_int()
}

fn flag(dict: Dict<'_, '_>, key: &[u8]) -> bool {
    int(dict, key).is_some_and(|value| value != 0)
}
