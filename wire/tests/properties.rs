//! What holds for every message, every split and all bytes. BEP 3, 6, 10.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use shoal_metainfo::RawBlock;
use shoal_wire::extended::holepunch::HolepunchError;
use shoal_wire::extended::metadata::metadata_piece_length;
use shoal_wire::extended::pex::{PexFlags, PexPeer};
use shoal_wire::extended::{Holepunch, Pex, donthave, upload_only};
use shoal_wire::limits::PEX_KEPT_MAX;
use shoal_wire::{
    Decoder, ExtendedHandshake, Extensions, Handshake, Message, MetadataMessage, encode,
};

fn block() -> impl Strategy<Value = RawBlock> {
    any::<(u32, u32, u32)>().prop_map(|(index, begin, length)| RawBlock {
        index,
        begin,
        length,
    })
}

fn payload(max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Choke),
        Just(Message::Unchoke),
        Just(Message::Interested),
        Just(Message::NotInterested),
        any::<u32>().prop_map(|index| Message::Have { index }),
        payload(300).prop_map(Message::Bitfield),
        block().prop_map(Message::Request),
        (any::<(u32, u32)>(), payload(16_385)).prop_map(|((index, begin), data)| Message::Piece {
            index,
            begin,
            data
        }),
        block().prop_map(Message::Cancel),
        any::<u16>().prop_map(Message::Port),
        any::<u32>().prop_map(|index| Message::Suggest { index }),
        Just(Message::HaveAll),
        Just(Message::HaveNone),
        block().prop_map(Message::Reject),
        any::<u32>().prop_map(|index| Message::AllowedFast { index }),
        (any::<u8>(), payload(1000)).prop_map(|(id, payload)| Message::Extended { id, payload }),
    ]
}

fn metadata() -> impl Strategy<Value = MetadataMessage> {
    let size = prop_oneof![1..70_000_u32, 16_380..16_390_u32, Just(64 << 20)];
    let data = (size, any::<prop::sample::Index>(), any::<u8>());
    prop_oneof![
        any::<u32>().prop_map(|piece| MetadataMessage::Request { piece }),
        any::<u32>().prop_map(|piece| MetadataMessage::Reject { piece }),
        data.prop_map(|(total_size, piece, byte)| {
            let piece = piece.index(total_size.div_ceil(16 << 10) as usize);
            let piece = u32::try_from(piece).unwrap();
            let length = metadata_piece_length(total_size, piece).unwrap();
            let data = Bytes::from(vec![byte; length]);
            MetadataMessage::Data {
                piece,
                total_size,
                data,
            }
        }),
    ]
}

/// A message that nobody knows: id and body.
fn unknown() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let ids = prop_oneof![10..=12_u8, 18..=19_u8, 21..=255_u8];
    (ids, prop::collection::vec(any::<u8>(), 0..500))
}

/// Feeds `bytes` in parts as long as `parts` says, over and over.
fn decode_in_parts(mut bytes: &[u8], parts: &[usize]) -> Vec<Message> {
    let mut decoder = Decoder::new(None);
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    for part in parts.iter().cycle() {
        let (now, later) = bytes.split_at(*part.min(&bytes.len()));
        buffer.extend_from_slice(now);
        bytes = later;
        while let Some(message) = decoder.decode(&mut buffer).unwrap() {
            messages.push(message);
        }
        if bytes.is_empty() {
            break;
        }
    }
    assert!(buffer.is_empty());
    messages
}

fn extended_handshake() -> impl Strategy<Value = ExtendedHandshake> {
    let names = prop::collection::btree_map("[!-~]{1,32}", any::<u8>(), 0..=32);
    let numbers = (
        prop::option::of(1_u16..),
        prop::option::of(1_u32..=2000),
        prop::option::of(1_u32..=64 << 20),
    );
    let version = prop::option::of("[ -~é]{1,32}");
    (
        names,
        numbers,
        version,
        any::<(Option<IpAddr>, Option<Ipv6Addr>, Option<Ipv4Addr>)>(),
        any::<Option<bool>>(),
    )
        .prop_map(
            |(extensions, numbers, version, (your_ip, ipv6, ipv4), upload_only)| {
                let (port, reqq, metadata_size) = numbers;
                ExtendedHandshake {
                    extensions,
                    port,
                    version,
                    your_ip,
                    ipv6,
                    ipv4,
                    reqq,
                    metadata_size,
                    upload_only,
                }
            },
        )
}

fn address() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn pex() -> impl Strategy<Value = Pex> {
    let added = (address(), any::<u8>()).prop_map(|(address, flags)| PexPeer {
        address,
        flags: PexFlags(flags),
    });
    (
        prop::collection::vec(added, 0..PEX_KEPT_MAX),
        prop::collection::vec(address(), 0..PEX_KEPT_MAX),
    )
        .prop_map(|(mut added, mut dropped)| {
            // IPv4 and IPv6 travel apart.
            added.sort_by_key(|peer| peer.address.is_ipv6());
            dropped.sort_by_key(SocketAddr::is_ipv6);
            Pex { added, dropped }
        })
}

fn holepunch() -> impl Strategy<Value = Holepunch> {
    let error = prop_oneof![
        Just(HolepunchError::NoSuchPeer),
        Just(HolepunchError::NotConnected),
        Just(HolepunchError::NoSupport),
        Just(HolepunchError::NoSelf),
        (5_u32..).prop_map(HolepunchError::Other),
    ];
    prop_oneof![
        address().prop_map(Holepunch::Rendezvous),
        address().prop_map(Holepunch::Connect),
        (address(), error).prop_map(|(address, error)| Holepunch::Error(address, error)),
    ]
}

proptest! {
    #[test]
    fn pex_reads_what_it_writes(message in pex()) {
        prop_assert_eq!(Pex::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn pex_takes_any_bytes(
        key in prop::sample::select(vec!["5:added", "7:added.f", "6:added6", "7:dropped"]),
        value: Vec<u8>,
        tail: Vec<u8>,
    ) {
        shoal_wire::fuzz::pex(&tail);
        let mut payload = format!("d{key}{}:", value.len()).into_bytes();
        payload.extend(&value);
        payload.push(b'e');
        prop_assert!(Pex::decode(&payload).is_ok());
        shoal_wire::fuzz::pex(&payload);
        payload.extend(&tail);
        shoal_wire::fuzz::pex(&payload);
    }

    #[test]
    fn holepunch_reads_what_it_writes(message in holepunch()) {
        prop_assert_eq!(Holepunch::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn small_extensions_take_any_bytes(data in prop::collection::vec(0_u8..4, 0..30)) {
        if let Ok(message) = Holepunch::decode(&data) {
            prop_assert_eq!(Holepunch::decode(&message.encode()), Ok(message));
        }
        if let Ok(index) = donthave::decode(&data) {
            prop_assert_eq!(donthave::encode(index), data.clone());
        }
        prop_assert_eq!(upload_only::decode(&data).is_ok(), data.len() == 1);
    }

    #[test]
    fn metadata_message_reads_what_it_writes(message in metadata()) {
        let payload = message.encode();
        prop_assert_eq!(MetadataMessage::decode(&payload), Ok(message.clone()));
        // One byte more or less behind a piece, and it is none.
        if matches!(message, MetadataMessage::Data { .. }) {
            let longer = [&payload[..], b"x"].concat();
            prop_assert!(MetadataMessage::decode(&longer.into()).is_err());
            prop_assert!(MetadataMessage::decode(&payload.slice(..payload.len() - 1)).is_err());
        }
    }

    #[test]
    fn any_bytes_are_a_metadata_message_or_an_error(
        head in "d?(8:msg_typei[0-9-]{1,3}e)?(5:piecei[0-9-]{1,11}e)?\
            (10:total_sizei[0-9]{1,9}e)?e?",
        tail in payload(40),
    ) {
        shoal_wire::fuzz::ut_metadata(&[head.as_bytes(), &tail].concat());
    }
}

proptest! {
    #[test]
    fn decode_gives_back_what_encode_took_in_any_split(
        messages in prop::collection::vec(message(), 0..20),
        parts in prop::collection::vec(1_usize..2000, 1..20),
    ) {
        let mut bytes = Vec::new();
        for message in &messages {
            let before = bytes.len();
            encode(message, &mut bytes);
            prop_assert_eq!(encode::length(message), bytes.len() - before);
        }
        prop_assert_eq!(decode_in_parts(&bytes, &parts), messages);
    }

    #[test]
    fn unknown_messages_leave_no_trace_between_known_ones(
        messages in prop::collection::vec((message(), unknown()), 1..10),
        parts in prop::collection::vec(1_usize..300, 1..20),
    ) {
        let mut bytes = Vec::new();
        for (message, (id, body)) in &messages {
            bytes.extend(u32::try_from(1 + body.len()).unwrap().to_be_bytes());
            bytes.push(*id);
            bytes.extend(body);
            encode(message, &mut bytes);
        }
        let known: Vec<_> = messages.into_iter().map(|(message, _)| message).collect();
        prop_assert_eq!(decode_in_parts(&bytes, &parts), known);
    }

    #[test]
    fn any_bytes_keep_the_promises_of_the_decoder(data: Vec<u8>) {
        shoal_wire::fuzz::decode(&data);
    }

    #[test]
    fn bytes_that_look_like_messages_keep_the_promises_of_the_decoder(
        heads in prop::collection::vec((0_u8..24, 0_u32..40, any::<[u8; 16]>()), 0..30),
    ) {
        let mut data = Vec::new();
        for (id, length, body) in heads {
            data.extend(length.to_be_bytes());
            data.push(id);
            data.extend(&body[..body.len().min(length.saturating_sub(1) as usize)]);
        }
        shoal_wire::fuzz::decode(&data);
    }

    #[test]
    fn handshake_reads_what_it_writes(
        reserved: [u8; 8],
        info_hash: [u8; 20],
        peer_id: [u8; 20],
    ) {
        let handshake = Handshake {
            extensions: Extensions(reserved),
            info_hash: shoal_metainfo::InfoHash(info_hash),
            peer_id: shoal_metainfo::PeerId(peer_id),
        };
        prop_assert_eq!(Handshake::decode(&handshake.encode()), Ok(handshake));
    }

    #[test]
    fn extended_handshake_reads_what_it_writes(handshake in extended_handshake()) {
        let payload = handshake.encode();
        prop_assert_eq!(ExtendedHandshake::decode(&payload), Ok(handshake));
    }

    #[test]
    fn extended_handshake_takes_any_bytes(
        head in prop::sample::select(vec!["", "d", "d1:md", "d1:v", "d4:reqq", "d6:yourip"]),
        tail: Vec<u8>,
    ) {
        let payload = [head.as_bytes(), &tail].concat();
        if let Ok(handshake) = ExtendedHandshake::decode(&payload) {
            prop_assert_eq!(ExtendedHandshake::decode(&handshake.encode()), Ok(handshake));
        }
    }
}
