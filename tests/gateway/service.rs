//! The service manager: what it is told (sd_notify), and sockets that it opens (socket activation).

use std::{
    fs,
    net::TcpListener,
    os::{
        fd::AsRawFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process::Command,
    sync::Mutex,
    time::Duration,
};

use crate::{
    both_drivers,
    common::{Api, Caller, Config, Gateway, eventually, get},
};

both_drivers!(it_is_told_of_each_state, its_sockets_are_served);

/// A socket on which a service manager listens, and all that came.
struct Manager {
    socket: UnixDatagram,
    told: Mutex<Vec<String>>,
}

impl Manager {
    fn at(address: &SocketAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).expect("the address is free");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("it can be set");
        Self { socket, told: Mutex::default() }
    }

    /// Waits until it is told something that begins so.
    #[track_caller]
    fn hears(&self, word: &str) -> String {
        let mut found = None;
        eventually(word, || {
            let mut text = [0; 512];
            if let Ok(count) = self.socket.recv(&mut text) {
                self.told.lock().unwrap().push(String::from_utf8_lossy(&text[..count]).into_owned());
            }
            let mut told = self.told.lock().unwrap();
            found = told.iter().position(|one| one.starts_with(word)).map(|at| told.drain(..=at).next_back());
            found.is_some()
        });
        found.flatten().expect("it was found")
    }
}

fn it_is_told_of_each_state(driver: &str) {
    let name = format!("keyferry-test-{}-{driver}", std::process::id());
    let manager = Manager::at(&SocketAddr::from_abstract_name(&name).expect("a name"));
    let api = Api::plain();
    let config = Config::to(&api);
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let mut gateway = Gateway::start_as(command, driver, &config, &[]);
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    let text = config.text(driver).replace("alias = \"crm\"", "alias = \"crn\"");
    fs::write(gateway.file("keyferry.toml"), text).unwrap();
    let reloading = manager.hears("RELOADING=1\nMONOTONIC_USEC=");
    let micros = reloading.lines().nth(1).and_then(|line| line.split('=').nth(1)?.parse::<u64>().ok());
    assert!(micros.is_some_and(|micros| micros > 0), "{reloading}");
    manager.hears("READY=1");
    gateway.terminate();
    manager.hears("STOPPING=1");
    assert_eq!(gateway.exit().code(), Some(0));
}

/// One socket for all shards, and one that nobody wants.
fn its_sockets_are_served(driver: &str) {
    if crate::common::tls::is_on() {
        return; // no handshake is done before the gateway starts
    }
    let api = Api::plain();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("it is bound");
    // It waits already when the gateway starts.
    let mut early = Caller::to(address).expect("it listens");
    early.send(&get("/crm/early"));
    let other = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let mut config = Config { shards: 2, ..Config::to(&api) };
    config.listeners = vec![address.to_string()];
    // The shell puts them where a service manager does, and is the process whose number the variable names.
    let mut command = Command::new("bash");
    let (first, second) = (socket.as_raw_fd(), other.as_raw_fd());
    let script = format!(
        "exec {{a}}<&{first} {{b}}<&{second}; exec 3<&$a 4<&$b; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\""
    );
    command.args(["-c", &script, env!("CARGO_BIN_EXE_keyferry")]);
    for one in [&socket, &other] {
        socket2::SockRef::from(one).set_cloexec(false).expect("it can be set");
    }
    let mut gateway = Gateway::start_as(command, driver, &config, &[]);
    drop((socket, other));
    assert_eq!(gateway.addresses, [address]);
    assert!(gateway.log().contains("no listener wants"), "{}", gateway.log());
    assert_eq!(early.answer().status, 200);
    for _ in 0..20 {
        assert_eq!(gateway.get("/crm/x").status, 200);
    }
    drop(early);
    gateway.terminate();
    assert_eq!(gateway.exit().code(), Some(0));
    eventually("the socket is ended", || Caller::to(address).is_err());
}
