//! The live page: the stand drawn as it is, for people who look. Read-only.
//!
//! `GET /` is the page as HTML, complete without JavaScript; `GET /events` tells what changes, as server-sent events; `GET /page/…`
//! are its style, its script and its icon, which are part of the program. Nothing is fetched from anywhere else.
//!
//! In reading order: [`judge`] and [`tone`], what is said; [`words`], how; [`draw`], where; [`frame`], the page as a value and the
//! difference between two; [`current`], when it is drawn; [`stream`], one looker's events.
//!
//! Guarantees: what others wrote is escaped by the type of the markup, and bounded; a strict Content-Security-Policy; so many lookers
//! and no more; no request changes anything. Left to others: who may reach the address (the configuration's `page`).

mod current;
mod draw;
mod frame;
mod judge;
mod stream;
mod tone;
mod words;

use crate::requests::Requests;
use crate::steer::{Calls, Timeline};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::sse::Sse;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use current::Current;
use draw::shell::{self, Shell};
use jiff::tz::TimeZone;
use nix::sys::socket::{setsockopt, sockopt};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use warden_edge::{clock, serve};
use warden_logic::moment::Moment;

pub use words::duration;

/// Lookers at once: half of the connections of the page's address, so that metrics and first paints always find one. Each has at most
/// two states of the page: 32 × 1 MB is the worst that 2,000 servers come to.
pub const LOOKERS: usize = 32;

const CSS: &str = include_str!("../../assets/page.css");
const JS: &str = include_str!("../../assets/page.js");
const ICON: &str = include_str!("../../assets/icon.svg");

/// Everything from here, nothing inline, no frames, no forms.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the kernel holds of what one looker has not read yet. It would take up to 4 MB by itself, and a looker so far behind is
/// better told the newest.
const UNREAD: usize = 128 * 1024;

/// Binds the page's address.
///
/// # Errors
/// Whatever the kernel says: in use, not ours, not an address of this machine.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = serve::bind_tcp(address)?;
    // What is accepted inherits it.
    setsockopt(&listener, sockopt::SndBuf, &UNREAD)?;
    Ok(listener)
}

/// What the page's routes look at.
#[derive(Clone, Debug)]
pub struct Page {
    current: Arc<Current>,
    seats: Arc<Semaphore>,
    /// The program and its run: a page of another one is loaded anew.
    build: Arc<str>,
}

impl Page {
    /// The page of a running loop. `lookers`: how many may follow it at once; see [`LOOKERS`].
    #[must_use]
    pub fn new(calls: Calls, timeline: Arc<Timeline>, requests: Option<Requests>, lookers: usize, clock: fn() -> Moment) -> Self {
        let build = format!("{}-{:x}", env!("CARGO_PKG_VERSION"), clock::realtime_micros());
        let current = Current::new(calls, timeline, requests, TimeZone::system(), clock);
        Self { current: Arc::new(current), seats: Arc::new(Semaphore::new(lookers)), build: build.into() }
    }
}

/// The page's routes.
pub fn router(page: Page) -> Router {
    let asset = |kind: &'static str, text: &'static str| get(move || async move { ([(header::CONTENT_TYPE, kind)], text) });
    Router::new()
        .route("/", get(whole))
        .route("/events", get(events))
        .route("/page/page.css", asset("text/css; charset=utf-8", CSS))
        .route("/page/page.js", asset("text/javascript; charset=utf-8", JS))
        .route("/page/icon.svg", asset("image/svg+xml", ICON))
        .layer(map_response(guarded))
        .with_state(page)
}

/// Puts the headers on that keep a browser from doing anything else with an answer than to show it.
async fn guarded(mut response: Response) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn whole(State(page): State<Page>) -> Response {
    let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    let (Some(look), _) = page.current.look().await else {
        let text = "The coordinator's steering loop does not answer; journalctl -u warden-coordinator tells more.";
        return (StatusCode::SERVICE_UNAVAILABLE, html, shell::trouble(&page.build, text)).into_response();
    };
    let now = page.current.now();
    let document = shell::document(Shell {
        build: &page.build,
        version: &stream::version(&page.build, look.frame.number),
        now,
        time: &words::stamp(clock::realtime_micros(), page.current.zone()).time,
        balancer: words::name(&look.balancer),
        title: &look.title,
        page: look.frame.html(now),
    });
    (html, document).into_response()
}

async fn events(State(page): State<Page>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let Ok(seat) = Arc::clone(&page.seats).try_acquire_owned() else {
        let text = "as many people look as the coordinator serves at once; the page itself can be loaded\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "30")], text).into_response();
    };
    // A browser that comes again says so by itself; one that comes for the first time says it in the query.
    let again = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let came_with = again.or(query.as_deref()).map(ToOwned::to_owned);
    Sse::new(stream::events(page.current, page.build, came_with, seat)).into_response()
}
