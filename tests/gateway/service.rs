//! The service manager: what it is told (sd_notify), and sockets that it opens (socket activation).

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpListener,
    os::{
        fd::{AsFd, AsRawFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
    process::Command,
    sync::Mutex,
    time::Duration,
};

use crate::{
    both_drivers,
    common::{Api, Caller, Config, Gateway, PATIENCE, eventually, get, request},
    listeners_unix::ask,
    upgrade::{Serving, signal},
};

both_drivers!(it_is_told_of_each_state, its_sockets_are_served, its_sockets_outlive_the_gateway);

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
    let mut gateway = Gateway::start_as(passing(&socket, &other), driver, &config, &[]);
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

/// Who asks while nobody serves waits for the next start; the file of a Unix socket is the manager's as well.
fn its_sockets_outlive_the_gateway(driver: &str) {
    if crate::common::tls::is_on() {
        return; // no handshake is done before the gateway starts
    }
    let api = Api::plain();
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = tcp.local_addr().expect("it is bound");
    let directory = env::temp_dir().join(format!("keyferry-activated-{}-{driver}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory can be made");
    let path = directory.join("callers.sock");
    let unix = UnixListener::bind(&path).expect("the path is free");
    let mut config = Config { shards: 2, ..Config::to(&api) };
    config.listeners = vec![address.to_string(), format!("unix:{}", path.display())];
    let close = request("GET", "/crm/x", "Connection: close\r\n", b"");
    let mut waiting: Option<(Caller, UnixStream)> = None;
    for _ in 0..3 {
        let mut gateway = Gateway::start_as(passing(&tcp, &unix), driver, &config, &[]);
        assert!(!gateway.log().contains("no listener wants"), "{}", gateway.log());
        if let Some((mut caller, mut stream)) = waiting.take() {
            assert_eq!(caller.answer().status, 200);
            stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("an answer");
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        }
        assert_eq!(gateway.get("/crm/x").status, 200);
        assert!(ask(&path, &close).starts_with("HTTP/1.1 200 "));
        gateway.terminate();
        assert_eq!(gateway.exit().code(), Some(0));
        let mut caller = Caller::to(address).expect("it listens");
        caller.send(&get("/crm/x"));
        let mut stream = UnixStream::connect(&path).expect("it listens");
        stream.write_all(&close).expect("it takes a request");
        waiting = Some((caller, stream));
    }
    // A successor knows whose they are.
    let mut gateway = Gateway::start_as(passing(&tcp, &unix), driver, &config, &[]);
    let mut serving = Serving(gateway.pid());
    serving.replace(&gateway, 0);
    assert_eq!(gateway.exit().code(), Some(0));
    assert!(ask(&path, &close).starts_with("HTTP/1.1 200 "));
    signal(serving.0, "TERM");
    eventually("the successor has ended", || gateway.log().matches("INFO ended").count() == 2);
    assert!(path.exists() && UnixStream::connect(&path).is_ok() && Caller::to(address).is_ok());
    fs::remove_dir_all(&directory).expect("it can be removed");
}

/// The gateway with two sockets where a service manager puts them. The shell is the process whose number the variable
/// names.
fn passing(first: &impl AsFd, second: &impl AsFd) -> Command {
    for one in [first.as_fd(), second.as_fd()] {
        socket2::SockRef::from(&one).set_cloexec(false).expect("it can be set");
    }
    let (first, second) = (first.as_fd().as_raw_fd(), second.as_fd().as_raw_fd());
    let script = format!(
        "exec {{a}}<&{first} {{b}}<&{second}; exec 3<&$a 4<&$b; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\""
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_keyferry")]);
    command
}
