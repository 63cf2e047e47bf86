//! The operator's door: an API and the pages with addresses, on a listener of its own. Of no BEP.
//!
//! Whoever asks must have the token. Programs send it as `Authorization: Bearer`; a browser may
//! send it as the password of `Basic`, which opens pages and nothing that changes anything, since
//! browsers send that along with what other sites make them ask. A name in `Host` is refused, so
//! that no site can have its own name point here.
//!
//! ```text
//! Host ─ a name ──▶ 421     token ─ wrong ──▶ 401     path ─ none ──▶ 404, its method ──▶ 405
//! ```

mod api;
mod page;
mod rules;
mod token;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_std::channel::Sender;
use async_std::net::{TcpListener, TcpStream};
use async_std::task;
use futures_lite::FutureExt as _;
use tide::http::{Body, Method, Response};
use tide::{Request, StatusCode};

use super::app::Asked;
use super::connection::{self, Desk};
use super::tls::Begun;
use super::{Shared, pages};
use crate::limits;
use token::Token;
pub use token::TokenError;

/// Where the operator is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where to listen: an address of this machine alone, as a rule. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The file that holds the token; without one a random token is made.
    pub token_file: Option<PathBuf>,
}

/// Why the operator cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// No such address, or taken.
    #[error("cannot listen on {address} for the admin API: {source}; choose another with --admin")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A token that cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// What was opened for the operator, to be told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminDoor {
    /// Where it listens.
    pub address: SocketAddr,
    /// The token, when it was made for this run.
    pub token: Option<String>,
}

/// The door, before anybody comes.
#[derive(Debug)]
pub(super) struct Admin {
    listener: std::net::TcpListener,
    token: Token,
    pub(super) door: AdminDoor,
}

impl Admin {
    /// # Errors
    /// [`AdminError`] says which address or file is of no use.
    pub(super) fn open(config: &AdminConfig) -> Result<Self, AdminError> {
        let address = config.listen;
        let listen = || {
            let listener = std::net::TcpListener::bind(address)?;
            Ok((listener.local_addr()?, listener))
        };
        let (token, made) = Token::get(config.token_file.as_deref())?;
        let opened = listen().map_err(|source| AdminError::Listen { address, source });
        let (address, listener) = opened?;
        let door = AdminDoor {
            address,
            token: made,
        };
        Ok(Self {
            listener,
            token,
            door,
        })
    }

    /// Serves until the server is to stop; holds `running` until all are gone.
    pub(super) async fn serve(self, shared: Arc<Shared>, running: Sender<()>) {
        let state = Arc::new(State {
            shared: Arc::clone(&shared),
            token: self.token,
        });
        let mut app = tide::with_state(state);
        app.at("/").all(route);
        app.at("/*").all(route);
        let listener = TcpListener::from(self.listener);
        let guests = Arc::new(AtomicUsize::new(0));
        loop {
            let accepted = async { Some(listener.accept().await) };
            let stopped = async {
                shared.stopped().await;
                None
            };
            match accepted.or(stopped).await {
                None => return,
                Some(Ok((stream, peer))) => {
                    let (app, guests) = (app.clone(), Arc::clone(&guests));
                    serve_one(stream, peer, app, &shared, guests, running.clone());
                }
                Some(Err(error)) => {
                    let what = "cannot accept connections to the admin API";
                    shared.front.warnings.tell(what, &error);
                    task::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

fn serve_one(
    stream: TcpStream,
    peer: SocketAddr,
    app: tide::Server<Arc<State>>,
    shared: &Arc<Shared>,
    guests: Arc<AtomicUsize>,
    running: Sender<()>,
) {
    if guests.fetch_add(1, Ordering::Relaxed) >= limits::ADMIN_CONNECTIONS_MAX {
        guests.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let desk = Desk {
        app,
        clerk: None,
        body_max: limits::ADMIN_BODY_BYTES_MAX,
        requests: limits::REQUESTS_PER_CONNECTION_MAX,
        stopped: shared.stopped.clone(),
    };
    let shared = Arc::clone(shared);
    task::spawn(async move {
        let _ = stream.set_nodelay(true);
        let drained = async {
            shared.stopped().await;
            task::sleep(limits::DRAIN_MAX).await;
            Ok(())
        };
        let stream = Begun::new(Vec::new(), stream);
        let served = connection::serve(stream, peer, desk, || {});
        if let Err(error) = served.or(drained).await {
            tracing::debug!(%peer, %error, "connection to the admin API closed");
        }
        guests.fetch_sub(1, Ordering::Relaxed);
        drop(running);
    });
}

#[derive(Debug)]
struct State {
    shared: Arc<Shared>,
    token: Token,
}

async fn route(mut request: Request<Arc<State>>) -> tide::Result {
    let body = request.body_bytes().await?;
    let asked = request.ext::<Asked>().expect("each request is given one");
    let (state, path, method) = (request.state(), request.url().path(), request.method());
    if !asked.host.as_deref().is_some_and(is_literal) {
        let what = "ask by address or as localhost: a name in Host is not answered";
        return Ok(failed(StatusCode::MisdirectedRequest, what));
    }
    let (is_api, reads) = (
        path.starts_with("/api/"),
        matches!(method, Method::Get | Method::Head),
    );
    let authorization = asked.authorization.as_deref().unwrap_or_default();
    if !state.token.opens(authorization, !is_api && reads) {
        let mut response = failed(
            StatusCode::Unauthorized,
            "the admin token is missing or wrong",
        );
        let challenge = if is_api {
            "Bearer"
        } else {
            "Basic realm=\"Shoal tracker\""
        };
        response.insert_header("www-authenticate", challenge);
        return Ok(response);
    }
    if is_api {
        return Ok(api::answer(&state.shared, method, path, asked, &body));
    }
    let page = pages::shown(&state.shared, path, asked, pages::Viewer::Admin);
    Ok(match page {
        Some(_) if !reads => not_allowed("GET"),
        Some(page) => page,
        None => failed(StatusCode::NotFound, "nothing is here"),
    })
}

/// Whether a `Host` names an address or this machine, and so cannot have been made to point here.
fn is_literal(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    let bare = |host: &str| {
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        match inner {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => host.eq_ignore_ascii_case("localhost") || is_v4(host),
        }
    };
    let (front, port) = host.rsplit_once(':').unwrap_or((host, ""));
    bare(host) || bare(front) && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_v4(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4())
}

fn json(status: StatusCode, value: &serde_json::Value) -> tide::Response {
    let mut response = Response::new(status);
    response.set_body(Body::from_string(format!("{value}\n")));
    response.insert_header("content-type", "application/json");
    response.insert_header("cache-control", "no-store");
    response.insert_header("x-content-type-options", "nosniff");
    response.into()
}

fn failed(status: StatusCode, what: &str) -> tide::Response {
    json(status, &serde_json::json!({ "error": what }))
}

fn not_allowed(methods: &str) -> tide::Response {
    let what = format!("only {methods} is taken here");
    let mut response = failed(StatusCode::MethodNotAllowed, &what);
    response.insert_header("allow", methods);
    response
}

#[cfg(test)]
mod tests;
