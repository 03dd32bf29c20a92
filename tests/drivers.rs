//! How the gateway gets on with the kernel that it finds: one that has no io_uring for it, a driver that was
//! chosen, a shard that stands still, and descriptors that no other program may inherit.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "filters system calls and stops a thread; a test may panic, and reads the clock"
)]

mod common;

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
    thread,
};

use common::{Api, Config, Gateway, eventually, get};

const RINGS: [&str; 2] = ["io_uring-defer", "io_uring-coop"];

// --- which driver serves -----------------------------------------------------------------------

/// Docker's and containerd's profiles refuse io_uring with EPERM.
#[test]
fn where_io_uring_is_forbidden_epoll_serves() {
    under_a_filter(libc::EPERM, || serves_with_epoll("Operation not permitted"));
}

/// gVisor and old kernels do not know it.
#[test]
fn where_io_uring_is_unknown_epoll_serves() {
    under_a_filter(libc::ENOSYS, || serves_with_epoll("Function not implemented"));
}

fn serves_with_epoll(error: &str) {
    let api = Api::plain();
    let gateway = Gateway::start("auto", &Config::to(&api));
    assert_eq!(gateway.get("/crm/x").status, 200);
    let mut caller = gateway.connect();
    for _ in 0..3 {
        caller.still_served();
    }
    assert_eq!(gateway.status()["driver"], "epoll");
    assert!(!has_ring(&gateway), "it has a ring nevertheless");
    for ring in RINGS {
        let told = gateway.log().lines().any(|line| line.contains(ring) && line.contains(error));
        assert!(told, "the log says nothing of {ring}:\n{}", gateway.log());
    }
}

#[test]
fn a_chosen_driver_is_not_replaced_by_another() {
    let api = Api::plain();
    let mut without_filter = vec!["epoll"];
    for ring in RINGS {
        let (ended, log) = under_a_filter(libc::EPERM, || start_in_vain(&Config::to(&api), ring));
        assert!(ended, "{ring}: it runs with something else");
        assert!(log.contains(ring) && log.contains("not available"), "{log}");
        if start_in_vain(&Config::to(&api), ring).0 {
            eprintln!("{ring} is not tested here: the kernel refuses it");
        } else {
            without_filter.push(ring);
        }
    }
    for driver in without_filter {
        let gateway = Gateway::start(driver, &Config::to(&api));
        assert_eq!(gateway.get("/crm/x").status, 200);
        assert_eq!(gateway.status()["driver"], driver);
        assert_eq!(has_ring(&gateway), driver != "epoll", "{driver}");
    }
}

/// Starts a gateway that may end at once; whether it did, and what it said.
fn start_in_vain(config: &Config, driver: &str) -> (bool, String) {
    let file = std::env::temp_dir().join(format!("keyferry-drivers-{}-{driver}.toml", std::process::id()));
    fs::write(&file, config.text(driver)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_keyferry"))
        .args(["run", "--config"])
        .arg(&file)
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let (mut log, mut piece) = (String::new(), [0; 4096]);
    let ready = loop {
        match stderr.read(&mut piece).unwrap() {
            0 => break false,
            count => log.push_str(&String::from_utf8_lossy(&piece[..count])),
        }
        if log.contains(" ready ") {
            break true;
        }
    };
    let _ = child.kill();
    let status = child.wait().unwrap();
    let _ = fs::remove_file(file);
    assert!(ready || status.code() == Some(1), "{status:?}:\n{log}");
    (!ready, log)
}

fn has_ring(gateway: &Gateway) -> bool {
    descriptors(gateway).iter().any(|(_, target)| target.contains("[io_uring]"))
}

// --- what other programs inherit ---------------------------------------------------------------

#[test]
fn no_descriptor_of_a_running_gateway_is_inherited() {
    const O_CLOEXEC: u32 = 0o2000000;
    let api = Api::plain();
    for driver in ["auto", "epoll"] {
        let gateway = Gateway::start(driver, &Config::to(&api));
        let mut callers: Vec<_> = (0..5).map(|_| gateway.connect()).collect();
        callers.iter_mut().for_each(common::Caller::still_served);
        let mut sockets = 0;
        for (number, target) in descriptors(&gateway) {
            // What this process has at the same place was handed on by whoever started the tests.
            let handed_on = fs::read_link(format!("/proc/self/fd/{number}"));
            if handed_on.is_ok_and(|ours| ours.to_string_lossy() == target) {
                continue;
            }
            let Ok(info) = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", gateway.pid())) else {
                continue;
            };
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
            let flags = u32::from_str_radix(flags, 8).unwrap();
            assert!(number <= 2 || flags & O_CLOEXEC != 0, "{driver}: descriptor {number}, {target}");
            sockets += usize::from(target.starts_with("socket:"));
        }
        assert!(sockets > 7, "{driver}: listeners, callers and connections to the API: {sockets}");
    }
}

fn descriptors(gateway: &Gateway) -> Vec<(u32, String)> {
    let directory = fs::read_dir(format!("/proc/{}/fd", gateway.pid())).unwrap();
    let descriptor = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?; // it may be closed by now
        Some((entry.file_name().to_str()?.parse().ok()?, target.to_string_lossy().into_owned()))
    };
    directory.flatten().filter_map(descriptor).collect()
}

// --- a shard that stands still -----------------------------------------------------------------

#[test]
fn a_shard_that_stands_still_is_noticed_and_so_is_its_recovery() {
    let api = Api::plain();
    let gateway = Gateway::start("auto", &Config::to(&api));
    assert_eq!(gateway.get("/crm/x").status, 200);
    let ready = || gateway.admin("/readyz").unwrap().status;
    assert_eq!(ready(), 200);
    let stopped = Stopped::thread(shard_thread(&gateway));
    eventually("callers are sent elsewhere", || ready() == 503);
    assert_eq!(gateway.admin("/healthz").unwrap().status, 200, "the process itself is well");
    assert_eq!(gateway.status()["ready"], false);
    assert!(gateway.log().contains("a shard does not respond"), "{}", gateway.log());
    // A caller that comes now waits, and is served afterwards.
    let mut waiting = gateway.connect();
    waiting.send(&get("/crm/waiting"));
    drop(stopped);
    assert_eq!(waiting.answer().status, 200);
    eventually("callers may come again", || ready() == 200);
}

fn shard_thread(gateway: &Gateway) -> libc::pid_t {
    let tasks = fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap().flatten();
    let is_shard = |path: &std::path::Path| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with("shard-"))
    };
    let shard = tasks.map(|task| task.path()).find(|path| is_shard(path)).expect("a shard runs");
    shard.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// One thread of another process, stopped until this is dropped. All of it on the thread that stopped it.
struct Stopped(libc::pid_t);

impl Stopped {
    fn thread(id: libc::pid_t) -> Self {
        let nothing = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: PTRACE_SEIZE takes no memory of ours; the thread belongs to a child of this process.
        let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, id, nothing, nothing) };
        assert_eq!(seized, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: PTRACE_INTERRUPT takes no memory of ours.
        let stopped = unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, id, nothing, nothing) };
        assert_eq!(stopped, 0, "{}", std::io::Error::last_os_error());
        let mut status = 0;
        // SAFETY: the pointer is to an integer that outlives the call.
        let waited = unsafe { libc::waitpid(id, &mut status, libc::__WALL) };
        assert_eq!(waited, id, "{}", std::io::Error::last_os_error());
        assert!(libc::WIFSTOPPED(status));
        Self(id)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let nothing = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: PTRACE_DETACH takes no memory of ours.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, nothing, nothing) };
    }
}

// --- a kernel that refuses ---------------------------------------------------------------------

/// Does `work` on a thread for which, and for whose children, io_uring_setup fails.
fn under_a_filter<T: Send>(error: libc::c_int, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            refuse_rings(error);
            work()
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn refuse_rings(error: libc::c_int) {
    let statement = |code: u32, value: u32, if_true: u8, if_false: u8| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: if_true,
        jf: if_false,
        k: value,
    };
    let number = u32::try_from(libc::SYS_io_uring_setup).unwrap();
    let refused = libc::SECCOMP_RET_ERRNO | u32::try_from(error).unwrap();
    let mut program = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the number of the call
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, refused, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let filter =
        libc::sock_fprog { len: u16::try_from(program.len()).unwrap(), filter: program.as_mut_ptr() };
    // SAFETY: takes no pointer.
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the pointer is to a program of the length that it says, and both outlive the call.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// The filter works at all: what it refuses is refused.
#[test]
fn the_filter_refuses_rings() {
    let refused = under_a_filter(libc::EPERM, || {
        RINGS.map(|ring| {
            let driver = keyferry::shard::Driver::LADDER.into_iter().find(|driver| driver.word() == ring);
            driver.unwrap().probe().err().and_then(|error| error.raw_os_error())
        })
    });
    assert_eq!(refused, [Some(libc::EPERM); 2]);
}
