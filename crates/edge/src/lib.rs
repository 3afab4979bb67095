//! Input and output that both programs share and that knows no domain word.
//!
//! In reading order: [`config`], drop-in TOML with every fault at once; [`clock`], the only reader of clocks and of
//! chance; [`logging`], journald without ever blocking; [`notify`], systemd's notification socket; [`signals`]; [`event_loop`];
//! [`serve`], bounded HTTP servers; [`descriptor`], descriptors that came as numbers; [`unix_http`], one request over a Unix socket; [`http`], one question over TCP, TLS or a Unix socket, with
//! [`dial`] and [`tls`]; [`kept`], many questions to one server; [`who`] is at the other end of a Unix socket, and what they [`ask`];
//! [`printable`], foreign text made fit to be shown; [`chain`], how errors are printed.
//!
//! Left to others: what any of it is about. If a sentence here needs the word of a supervised thing, it is in the wrong crate.

pub mod ask;
pub mod chain;
pub mod clock;
pub mod config;
pub mod descriptor;
pub mod dial;
pub mod event_loop;
pub mod http;
pub mod kept;
pub mod logging;
pub mod notify;
pub mod printable;
pub mod serve;
pub mod signals;
mod stall;
pub mod tls;
pub mod unix_http;
pub mod who;
