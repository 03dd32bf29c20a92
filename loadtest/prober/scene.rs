//! The stage of every experiment: files of keys, an API, the gateway as a process.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::ClientConfig;

use super::{
    Options,
    api::{self, TOKEN},
    authority::Authority,
    client::{Client, Stream},
    process::{Log, Process},
};

const START_LIMIT: Duration = Duration::from_secs(120);

/// A running gateway, with its files; dropping it ends the one and removes the others.
pub struct Scene {
    gateway: Child,
    pub log: Log,
    /// Ends the gateway when this program is ended: its standard input closes then.
    watchdog: Child,
    pub directory: PathBuf,
    /// Lines of every file, without the one that an experiment changes.
    files: Vec<String>,
    in_place: bool,
    pub address: SocketAddr,
    /// The listener that speaks TLS, and who it is trusted by; a scene without it has none.
    pub tls: Option<(SocketAddr, Authority)>,
    pub admin: SocketAddr,
    pub began_in: Duration,
}

/// What an experiment adds to the configuration.
#[derive(Default)]
pub struct Setting {
    pub has_tls: bool,
    /// Tables of `[server]`.
    pub server: &'static str,
    /// Lines and tables of the target.
    pub target: &'static str,
}

/// The `n`th key of a family; the families `a`, `b` never share a key.
pub fn key(family: &str, n: usize) -> String {
    format!("sk_prober_{family}_{n:08}")
}

impl Scene {
    /// The keys of family `a`, `options.keys` of them, split over `options.files` files of one credential; behind the
    /// lines of each file stands its first extra key.
    pub fn start(options: &Options, extra: impl Fn(usize) -> String) -> Self {
        Self::set(options, extra, &Setting::default())
    }

    /// The same, with more in its configuration.
    pub fn set(options: &Options, extra: impl Fn(usize) -> String, setting: &Setting) -> Self {
        let directory = std::env::temp_dir().join(format!("keyferry-prober-{}", std::process::id()));
        fs::create_dir_all(directory.join("keys.0")).unwrap();
        symlink("keys.0", directory.join("keys.d")).unwrap();
        let files = family("a", options.keys, options.files);
        let scene_files = files.iter().enumerate();
        scene_files.for_each(|(n, lines)| {
            fs::write(path(&directory, n), format!("{lines}{}", line(&extra(n)))).unwrap();
        });
        let Options { shards, driver, .. } = options;
        let authority = setting.has_tls.then(Authority::new);
        if let Some(authority) = &authority {
            authority.issue(1).write(&directory, "cert.pem", "key.pem");
        }
        let secure = authority.as_ref().map_or("", |_| SECURE);
        let configuration = format!(
            "[server]\nshards = {shards}\ndriver = \"{driver}\"\ndata_dir = \"data\"\n{}\
             [[listener]]\naddress = \"127.0.0.1:0\"\n{secure}[admin]\naddress = \"127.0.0.1:0\"\n\
             [[target]]\nname = \"api\"\nurl = \"http://{}\"\n{}\
             [[credential]]\nname = \"callers\"\ntype = \"proxy\"\nauth = \"key\"\n\
             locations = [\"header:x-api-key\"]\nkey_files = [\"keys.d/*.sha256\"]\n\
             [[credential]]\nname = \"token\"\ntype = \"target\"\nauth = \"bearer\"\ntoken = \"{TOKEN}\"\n\
             [[proxy]]\nalias = \"api\"\ntarget = \"api\"\ntarget_credential = \"token\"\n\
             proxy_credentials = [\"callers\"]\n",
            setting.server,
            api::start(),
            setting.target,
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
            .args(["-c", WATCHDOG])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        watch(&watchdog, gateway.id());
        let log = Log::of(gateway.stderr.take().unwrap());
        let addresses = addresses(&log, began, if setting.has_tls { 3 } else { 2 });
        let began_in = began.elapsed();
        let address = addresses[0];
        // For load from elsewhere: where to send it, and keys that stay.
        let keys: String = (0..options.keys.min(10_000)).map(|n| key("a", n) + "\n").collect();
        fs::write(directory.join("keys"), keys).unwrap();
        eprintln!("gateway {address} directory {}", directory.display());
        Self {
            gateway,
            log,
            watchdog,
            directory,
            files,
            in_place: options.in_place,
            address,
            tls: authority.map(|authority| (addresses[1], authority)),
            admin: addresses[addresses.len() - 1],
            began_in,
        }
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
        self.process().resident_kib() / 1024
    }

    /// The process that was started here.
    pub fn process(&self) -> Process {
        Process(self.gateway.id())
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<i32> {
        self.gateway.try_wait().unwrap().and_then(|status| status.code())
    }

    /// From here on this process is ended with the scene as well: it took over from the one before.
    pub fn is_followed_by(&self, process: Process) {
        watch(&self.watchdog, process.0);
    }

    /// A caller of the listener with TLS, where there is one.
    pub fn connect(&self) -> Client {
        let (address, tls) = self.listener(self.tls.is_some());
        Client::with(address, tls).unwrap()
    }

    /// Bytes to one of the two listeners.
    pub fn stream(&self, is_tls: bool) -> std::io::Result<Stream> {
        let (address, tls) = self.listener(is_tls);
        Stream::to(address, tls)
    }

    /// Where to reach one of the two listeners, and with which TLS.
    pub fn listener(&self, is_tls: bool) -> (SocketAddr, Option<&Arc<ClientConfig>>) {
        match &self.tls {
            Some((address, authority)) if is_tls => (*address, Some(&authority.callers)),
            _ => (self.address, None),
        }
    }

    pub fn admin(&self) -> Client {
        Client::to(self.admin).unwrap()
    }
}

/// The second listener of a scene with TLS.
const SECURE: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n\
    tls = { certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }] }\n";

/// Ends the last two processes that it was told of, if they still serve from the directory, and removes that.
const WATCHDOG: &str = "while read pid; do old=$new; new=$pid; done; \
    for pid in $old $new; do grep -qa \"$0\" /proc/$pid/cmdline && kill -9 $pid; done; rm -r \"$0\"";

fn watch(watchdog: &Child, pid: u32) {
    let _ = writeln!(watchdog.stdin.as_ref().unwrap(), "{pid}");
}

impl Drop for Scene {
    /// The watchdog ends the gateway, whichever process that is by now.
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
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

fn path(directory: &Path, n: usize) -> PathBuf {
    directory.join(format!("keys.d/{n:04}.sha256"))
}

/// Where a gateway that starts can be reached: its listeners, in the order of its configuration, and the admin listener.
fn addresses(log: &Log, began: Instant, count: usize) -> Vec<SocketAddr> {
    let mut found: Vec<(bool, SocketAddr)> = Vec::new();
    for line in log.await_lines(" ready ", 1, began + START_LIMIT).expect("the gateway starts") {
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("address="));
        found.extend(address.map(|address| (line.contains("admin"), address.parse().unwrap())));
    }
    assert_eq!(found.len(), count, "each listener says its address");
    found.sort_by_key(|(is_admin, _)| *is_admin);
    found.into_iter().map(|(_, address)| address).collect()
}
