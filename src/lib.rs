//! keyferry: an edge proxy that stands between callers and the APIs they call, and lets a platform team change
//! how callers authenticate without breaking any of them.
#![doc = "# Flow"]
//!
//! ```text
//!  TOML files ─┐                               ┌─ shard 0: accept → parse → route → authenticate → authorise
//!              ├─ load → validate → compile → Snapshot        → inject → forward → record
//!  revocations ┘      (control thread)   (arc-swap) └─ shard N: the same, nothing shared but the snapshot
//! ```
//!
//! # Rooms
//!
//! | room | what it does |
//! |---|---|
//! | [`types`] | the vocabulary: why a request ended, secrets, states of keys |
//! | [`limits`] | every bound, with its reason |
//! | [`protocol`] | codecs without I/O |
//! | [`snapshot`] | the immutable tables that the data plane reads |
//! | [`policy`] | pure decisions: [`policy::decide`] |
//! | [`config`] | files → [`config::plan::Plan`], or every diagnostic at once |
//! | [`compile`] | `Plan` → [`snapshot::Snapshot`] |
//! | [`explain`] | what operators ask of a decision: how it comes about, and whether it is as they assert |
//! | [`store`] | what outlives the process and stands in no file of the operator's: revocations |
//! | [`control`] | the control thread: reload, revocation, publishing, name resolution, signals, drain, upgrade |
//! | [`shard`] | the data plane: one event loop for each core |
//! | [`telemetry`] | what each shard counts and logs, and the totals |
//! | [`admin`] | the admin listener |
//! | [`cli`] | one file for each subcommand |
//! | [`run`] | the composition root |
//!
//! Who may import whom is checked by `tests/tidy.rs`. The data plane never sees TOML or files; `types`,
//! `protocol`, `snapshot`, `policy`, `compile`, `explain` never see sockets, clocks, locks or `unsafe`.
//!
//! # Invariants
//!
//! * A request is judged by one snapshot, the one current when its head is complete.
//! * What was judged is what is forwarded: the API's head is encoded from the parsed one.
//! * Nothing is forwarded without a [`policy::Permit`], which only [`policy::decide`] makes.
//! * A shard never blocks, never locks, and allocates nothing in a warm kept-alive exchange. (A request body that
//!   streams, a tunnel, and a connection that wakes from rest take a few allocations each.)

pub mod admin;
pub mod cli;
pub mod compile;
pub mod config;
pub mod control;
pub mod explain;
pub mod limits;
pub mod policy;
pub mod protocol;
pub mod run;
pub mod shard;
pub mod snapshot;
pub mod store;
pub mod telemetry;
pub mod types;
