//! Opening a connection, and the handshake of either side. BEP 3 "peer protocol".
//!
//! A handshake has one time limit as a whole, so bytes that dribble buy no more of it. With a proxy
//! no peer sees anything of us but the proxy.

use std::io;
use std::net::SocketAddr;

use async_std::future::{TimeoutError, timeout};
use async_std::io::{ReadExt, WriteExt};
use async_std::net::TcpStream;
use shoal_metainfo::InfoHash;
use shoal_swarm::io::Direction;
use shoal_tracker::client::{Destination, Proxy, ProxyError};
use shoal_wire::handshake::HANDSHAKE_LENGTH;
use shoal_wire::{Handshake, HandshakeError};

use crate::limits::{CONNECT_TIME_MAX, HANDSHAKE_TIME_MAX};
use crate::note::Greeted;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetError {
    #[error("no answer in time")]
    Late(#[from] TimeoutError),
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    Proxy(#[from] ProxyError),
    #[error("{0}")]
    NoHandshake(#[from] HandshakeError),
    #[error("torrent {0} is not the one that was asked for, or not here")]
    OtherTorrent(InfoHash),
}

/// Connects, through the proxy if there is one, and shakes hands; `ours` says for which torrent.
pub(crate) async fn dial(
    address: SocketAddr,
    ours: Handshake,
    proxy: Option<&Proxy>,
) -> Result<Greeted, GreetError> {
    let stream = timeout(CONNECT_TIME_MAX, connect(address, proxy)).await??;
    stream.set_nodelay(true)?;
    let handshake = timeout(HANDSHAKE_TIME_MAX, async {
        (&stream).write_all(&ours.encode()).await?;
        read_handshake(&stream).await
    })
    .await??;
    if handshake.info_hash != ours.info_hash {
        return Err(GreetError::OtherTorrent(handshake.info_hash));
    }
    Ok(Greeted {
        stream,
        address,
        direction: Direction::Outgoing,
        handshake,
        place: None,
    })
}

async fn connect(address: SocketAddr, proxy: Option<&Proxy>) -> Result<TcpStream, GreetError> {
    match proxy {
        Some(proxy) => Ok(proxy.connect(Destination::Address(address)).await?),
        None => Ok(TcpStream::connect(address).await?),
    }
}

/// Reads exactly one handshake; refuses what is none at the first byte that differs.
pub(crate) async fn read_handshake(mut stream: &TcpStream) -> Result<Handshake, GreetError> {
    let mut bytes = [0; HANDSHAKE_LENGTH];
    let mut filled = 0;
    while filled < HANDSHAKE_LENGTH {
        let read = stream.read(&mut bytes[filled..]).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        filled += read;
        if !Handshake::prefix_matches(&bytes[..filled]) {
            return Err(HandshakeError::Protocol.into());
        }
    }
    Ok(Handshake::decode(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_std::net::TcpListener;
    use async_std::task;
    use shoal_metainfo::PeerId;
    use shoal_wire::Extensions;

    fn handshake(hash: u8) -> Handshake {
        Handshake {
            extensions: Extensions::OURS,
            info_hash: InfoHash([hash; 20]),
            peer_id: PeerId::ours([7; 12]),
        }
    }

    /// Dials a listener that sends `parts` with a pause of the executor between them.
    fn dialled(parts: Vec<Vec<u8>>) -> Result<Handshake, GreetError> {
        task::block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let other = task::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.set_nodelay(true);
                for part in parts {
                    let _ = stream.write_all(&part).await;
                    task::yield_now().await;
                }
                // Until the other side has had enough.
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
            let result = dial(address, handshake(1), None).await.map(|greeted| {
                assert_eq!(greeted.address, address);
                greeted.handshake
            });
            other.await;
            result
        })
    }

    #[test]
    fn handshake_in_single_bytes_is_taken() {
        let bytes = handshake(1).encode();
        let parts = bytes.iter().map(|&byte| vec![byte]).collect();
        assert_eq!(dialled(parts).unwrap(), handshake(1));
    }

    #[test]
    fn garbage_is_refused_at_the_first_byte_that_differs() {
        let mut wrong = handshake(1).encode();
        wrong[5] ^= 1;
        for garbage in [b"HTTP/1.1 400 Bad".to_vec(), vec![0], wrong[..6].to_vec()] {
            let refused = dialled(vec![garbage]);
            assert!(matches!(refused, Err(GreetError::NoHandshake(_))));
        }
    }

    #[test]
    fn other_torrent_is_refused() {
        let refused = dialled(vec![handshake(2).encode().to_vec()]);
        assert!(matches!(refused, Err(GreetError::OtherTorrent(_))));
    }

    /// The proxy that says nothing else is the other peer at the same time.
    #[test]
    fn proxy_is_told_the_address_and_then_carries_the_handshake() {
        let (answer, asked) = task::block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("socks5://{}", listener.local_addr().unwrap());
            let proxy = Proxy::from_url(&url).unwrap();
            let other = task::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut greeting = [0; 3];
                stream.read_exact(&mut greeting).await.unwrap();
                stream.write_all(&[5, 0]).await.unwrap();
                let mut asked = [0; 10];
                stream.read_exact(&mut asked).await.unwrap();
                let granted = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
                stream.write_all(&granted).await.unwrap();
                let theirs = read_handshake(&stream).await.unwrap();
                assert_eq!(theirs, handshake(1));
                stream.write_all(&handshake(1).encode()).await.unwrap();
                asked
            });
            // Nobody is there: without the proxy there would be no connection.
            let peer = "192.0.2.7:6881".parse().unwrap();
            let answer = dial(peer, handshake(1), Some(&proxy)).await;
            (answer, other.await)
        });
        assert_eq!(answer.unwrap().handshake, handshake(1));
        assert_eq!(asked, [5, 1, 0, 1, 192, 0, 2, 7, 0x1a, 0xe1]);
    }

    #[test]
    fn dead_proxy_is_not_passed_by() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let dead = format!("socks5://{}", free.local_addr().unwrap());
        drop(free);
        let proxy = Proxy::from_url(&dead).unwrap();
        let refused = task::block_on(async {
            let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
            dial(peer.local_addr().unwrap(), handshake(1), Some(&proxy)).await
        });
        assert!(matches!(refused, Err(GreetError::Proxy(_))));
    }

    #[test]
    fn closed_port_is_an_error_of_the_socket() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let refused = task::block_on(dial(address, handshake(1), None));
        assert!(matches!(refused, Err(GreetError::Socket(_))));
    }
}
