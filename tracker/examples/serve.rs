//! A tracker for any torrent: `serve [ADDRESS]`, by default on 127.0.0.1:6969.

use std::error::Error;

use async_std::task;
use shoal_tracker::{Server, ServerConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listen = vec![address.as_deref().unwrap_or("127.0.0.1:6969").parse()?];
    task::block_on(async {
        let server = Server::bind(ServerConfig {
            listen,
            ..ServerConfig::default()
        });
        let server = server.await?;
        println!("listening on {:?}", server.local_addrs());
        server.run().await;
        Ok(())
    })
}
