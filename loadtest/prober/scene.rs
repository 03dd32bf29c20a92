//! The stage of every experiment: files of keys, an API, the gateway as a process.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Options, client::Client};

const TOKEN: &str = "tgt_prober_5c1e";
const START_LIMIT: Duration = Duration::from_secs(120);

/// A running gateway, with its files; dropping it ends the one and removes the others.
pub struct Scene {
    gateway: Child,
    /// Ends the gateway when this program is ended: its standard input closes then.
    watchdog: Child,
    directory: PathBuf,
    /// Lines of every file, without the one that an experiment changes.
    files: Vec<String>,
    in_place: bool,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub began_in: Duration,
}

/// The `n`th key of a family; the families `a`, `b` never share a key.
pub fn key(family: &str, n: usize) -> String {
    format!("sk_prober_{family}_{n:08}")
}

impl Scene {
    /// The keys of family `a`, `options.keys` of them, split over `options.files` files of one credential; behind the
    /// lines of each file stands its first extra key.
    pub fn start(options: &Options, extra: impl Fn(usize) -> String) -> Self {
        let directory = std::env::temp_dir().join(format!("keyferry-prober-{}", std::process::id()));
        fs::create_dir_all(directory.join("keys.0")).unwrap();
        symlink("keys.0", directory.join("keys.d")).unwrap();
        let files = family("a", options.keys, options.files);
        let scene_files = files.iter().enumerate();
        scene_files.for_each(|(n, lines)| {
            fs::write(path(&directory, n), format!("{lines}{}", line(&extra(n)))).unwrap();
        });
        let Options { shards, driver, .. } = options;
        let configuration = format!(
            "[server]\nshards = {shards}\ndriver = \"{driver}\"\ndata_dir = \"data\"\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [[target]]\nname = \"api\"\nurl = \"http://{}\"\n\
             [[credential]]\nname = \"callers\"\ntype = \"proxy\"\nauth = \"key\"\n\
             locations = [\"header:x-api-key\"]\nkey_files = [\"keys.d/*.sha256\"]\n\
             [[credential]]\nname = \"token\"\ntype = \"target\"\nauth = \"bearer\"\ntoken = \"{TOKEN}\"\n\
             [[proxy]]\nalias = \"api\"\ntarget = \"api\"\ntarget_credential = \"token\"\n\
             proxy_credentials = [\"callers\"]\n",
            api()
        );
        fs::write(directory.join("keyferry.toml"), configuration).unwrap();
        let began = Instant::now();
        let mut gateway = Command::new(&options.gateway)
            .args(["run", "--config"])
            .arg(directory.join("keyferry.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", options.gateway.display()));
        let watchdog = Command::new("sh")
            .args(["-c", &format!("read _; kill {}; rm -r \"$0\"", gateway.id())])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (address, admin) = addresses(&mut gateway, began);
        let began_in = began.elapsed();
        // For load from elsewhere: where to send it, and keys that stay.
        let keys: String = (0..options.keys.min(10_000)).map(|n| key("a", n) + "\n").collect();
        fs::write(directory.join("keys"), keys).unwrap();
        eprintln!("gateway {address} directory {}", directory.display());
        Self { gateway, watchdog, directory, files, in_place: options.in_place, address, admin, began_in }
    }

    /// Writes a file anew, with one key behind its lines; returns the moment when that was done.
    pub fn write(&self, n: usize, extra: &str) -> Instant {
        self.put(n, &format!("{}{}", self.files[n], line(extra)))
    }

    /// Writes a file anew.
    pub fn put(&self, n: usize, text: &str) -> Instant {
        let path = path(&self.directory, n);
        if self.in_place {
            let mut file = File::create(path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            return Instant::now();
        }
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
        Instant::now()
    }

    /// Writes every file anew into the directory of a round, counted from 1, and then swaps the link that leads to the
    /// files, as a Kubernetes volume does; returns when that began.
    pub fn put_all(&self, round: usize, texts: &[String]) -> Instant {
        let named = |round| self.directory.join(format!("keys.{round}"));
        fs::create_dir(named(round)).unwrap();
        for (n, text) in texts.iter().enumerate() {
            fs::write(named(round).join(path("".as_ref(), n).file_name().unwrap()), text).unwrap();
        }
        let new = self.directory.join("keys.new");
        symlink(named(round), &new).unwrap();
        let began = Instant::now();
        fs::rename(new, self.directory.join("keys.d")).unwrap();
        began
    }

    /// Resident memory in MiB.
    pub fn resident_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.gateway.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    pub fn connect(&self) -> Client {
        Client::to(self.address).unwrap()
    }

    pub fn admin(&self) -> Client {
        Client::to(self.admin).unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for child in [&mut self.watchdog, &mut self.gateway] {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The digests of a family, in files of about the same length.
pub fn family(name: &str, keys: usize, files: usize) -> Vec<String> {
    let of_a_file = keys.div_ceil(files);
    let file =
        |n: usize| (n * of_a_file..keys.min((n + 1) * of_a_file)).map(|n| line(&key(name, n))).collect();
    (0..files).map(file).collect()
}

/// The line of a key in a file.
pub fn line(key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    let mut line = String::with_capacity(65);
    digest.as_ref().iter().for_each(|byte| write!(line, "{byte:02x}").unwrap());
    line + "\n"
}

fn path(directory: &std::path::Path, n: usize) -> PathBuf {
    directory.join(format!("keys.d/{n:04}.sha256"))
}

/// Reads the log of a gateway that starts, and goes on showing its complaints.
fn addresses(gateway: &mut Child, began: Instant) -> (SocketAddr, SocketAddr) {
    let mut lines = BufReader::new(gateway.stderr.take().unwrap()).lines().map_while(Result::ok);
    let (mut listener, mut admin) = (None, None);
    for line in lines.by_ref() {
        assert!(began.elapsed() < START_LIMIT, "the gateway does not start");
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("address="));
        match address.map(|address| address.parse().unwrap()) {
            Some(found) if line.contains("admin") => admin = Some(found),
            Some(found) => listener = Some(found),
            None if line.contains(" ready ") => break,
            None => eprintln!("{line}"),
        }
    }
    thread::spawn(move || {
        lines
            .filter(|line| line.contains("ERROR") || line.contains("panic"))
            .for_each(|line| eprintln!("{line}"));
    });
    (listener.expect("the gateway has started"), admin.expect("it has an admin listener"))
}

/// An API on threads of its own: 64 bytes for whoever has the token and no key of a caller's.
fn api() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = thread::Builder::new().stack_size(64 * 1024).spawn(move || serve(stream));
        }
    });
    address
}

/// Requests have no body, and come one after the other.
fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let good = format!("HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n{}", "x".repeat(64));
    let bad = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_owned();
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        head.extend_from_slice(&piece[..count]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let right = text.contains(&format!("authorization: bearer {TOKEN}")) && !text.contains("x-api-key");
        if stream.write_all(if right { &good } else { &bad }.as_bytes()).is_err() {
            return;
        }
        head.clear();
    }
}
