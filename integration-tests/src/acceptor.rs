//! A listener on loopback that gives each connection a thread, for the servers of tests. When it is
//! dropped, it takes no more and ends those that are open.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The listener.
#[derive(Debug)]
pub(crate) struct Acceptor {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// All there were.
    connections: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

impl Acceptor {
    /// Serves each connection until `serve` returns; it is open until somebody shuts it down.
    ///
    /// # Panics
    /// When there is no free port.
    pub(crate) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let (serve, accepting) = (Arc::new(serve), shared.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(held) = stream.try_clone() {
                    lock(&accepting.connections).push(held);
                }
                let serve = serve.clone();
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        lock(&self.shared.connections).len()
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts; it drops the listener.
        drop(TcpStream::connect(self.address));
        for stream in lock(&self.shared.connections).drain(..) {
            // The other end may have gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// What a panic of another thread has left is as good as before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
