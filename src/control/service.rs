//! What the service manager is told (sd_notify(3)): one datagram for each state, to the socket that it names. Without
//! one, nothing is sent. That it does not listen is its own affair.

use std::{
    env,
    ffi::OsString,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Tells the service manager how the process is.
pub struct Notifier {
    socket: Option<UnixDatagram>,
    monotonic_micros: fn() -> u64,
}

impl Notifier {
    /// For the socket that the environment names.
    pub fn from_environment(monotonic_micros: fn() -> u64) -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&name));
        Self { socket, monotonic_micros }
    }

    /// Everything that was asked for is served.
    pub(super) fn ready(&mut self) {
        self.send("READY=1\nSTATUS=serving");
    }

    /// Files are loaded again; [`Self::ready`] ends it.
    pub(super) fn reloading(&mut self) {
        let now = (self.monotonic_micros)();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=loading the configuration"));
    }

    /// The watchdog need not bite: no shard stands still.
    pub(super) fn alive(&mut self) {
        self.send("WATCHDOG=1");
    }

    /// Another process is the service from here on.
    pub(super) fn handed_over(&mut self, pid: u32) {
        self.send(&format!("MAINPID={pid}\nREADY=1\nSTATUS=serving"));
    }

    /// What is under way is finished, and nothing else.
    pub(super) fn stopping(&mut self) {
        self.send("STOPPING=1\nSTATUS=draining");
    }

    fn send(&self, state: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(state.as_bytes());
        }
    }
}

fn connect(name: &OsString) -> Option<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        _ => SocketAddr::from_pathname(name),
    };
    let socket = UnixDatagram::unbound().ok()?;
    // A manager that does not read must not stop the control thread.
    socket.set_nonblocking(true).ok()?;
    socket.connect_addr(&address.ok()?).ok()?;
    Some(socket)
}
