//! The files of Unix sockets: made at the start, gone at the end.
//!
//! A file that a gateway left behind is replaced; one that somebody listens at is left alone, and so is whatever is no
//! socket. At the end a file is removed only if it is still the one that was made. A successor gets it with the socket,
//! and is told which file that is.
//!
//! Between looking at a file and removing it another start could have put its own there. So that is done alone: under a
//! lock (flock(2)) on the directory, which leaves nothing behind and is gone with the process that had it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};
use tracing::warn;

use crate::limits::LISTEN_BACKLOG;

/// How long a socket file whose process may just have been killed is given.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked at.
const LOOKS: usize = 4;
/// How often it is tried to be alone in a directory, and the time in between. Nobody is alone for long.
const TRIES: usize = 300;
const TRY_INTERVAL: Duration = Duration::from_millis(10);

/// The file of a socket, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
    /// While it is open, no other file gets its number.
    _held: Option<File>,
}

/// The device and number of a file.
pub(super) type Identity = (u64, u64);

impl SocketFile {
    /// Takes over the file of a socket that the process before made, with the mode that is configured now.
    pub(super) fn take_over(path: PathBuf, known: Identity, mode: Option<u32>) -> Self {
        if let Some(mode) = mode.filter(|_| identity(&path).is_ok_and(|found| found == known))
            && let Err(error) = fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        {
            warn!(path = %path.display(), %error, "the mode of a socket cannot be set");
        }
        let held = hold(&path).ok().filter(|held| identity_of(held).is_ok_and(|found| found == known));
        Self { path, identity: known, _held: held }
    }

    /// Which file it is.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// Leaves it to the process that serves from here on.
    pub(super) fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If it stays, the next start replaces it.
        let Ok(_alone) = alone_beside(&self.path) else { return };
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at a path. Nobody can connect before the file has its mode.
pub(super) fn listen(path: &Path, mode: Option<u32>) -> io::Result<(Socket, SocketFile)> {
    for _ in 0..LOOKS {
        let alone = alone_beside(path)?;
        if is_free(path)? {
            return make(path, mode);
        }
        drop(alone);
        if !ends_soon(path) {
            break;
        }
    }
    let message = "the socket is in use: another process listens there";
    Err(io::Error::new(io::ErrorKind::AddrInUse, message))
}

fn make(path: &Path, mode: Option<u32>) -> io::Result<(Socket, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let held = hold(path)?;
    let file = SocketFile { path: path.to_owned(), identity: identity_of(&held)?, _held: Some(held) };
    if let Some(mode) = mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.listen(LISTEN_BACKLOG)?;
    Ok((socket, file))
}

/// Whether nobody listens at a path; a file that was left there is gone then. Never waits.
fn is_free(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            let message = "there is a file that is no socket; remove it, or choose another path";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        Ok(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map(|()| true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        // One that may not be asked, or has no room for us (EAGAIN), is in use as well.
        _ => Ok(false),
    }
}

/// Whether whoever listens at a path comes to an end: the kernel closes what a killed process had in its ring a moment
/// after the process itself is gone, so that a socket may still take connections that nobody will ever accept.
fn ends_soon(path: &Path) -> bool {
    let ends = || {
        let mut socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_write_timeout(Some(PATIENCE))?; // of the connect, where there is no room (unix(7))
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(&SockAddr::unix(path)?)?;
        socket.read(&mut [0])
    };
    match ends() {
        Ok(count) => count == 0,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::PermissionDenied
        ),
    }
}

/// Keeps other starts away from the directory of a path, until it is dropped. Where a directory cannot be locked, because
/// it may not be read or its file system has no locks, nobody is kept away.
fn alone_beside(path: &Path) -> io::Result<Option<File>> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(directory) = File::open(directory) else { return Ok(None) };
    for _ in 0..TRIES {
        match directory.try_lock() {
            Ok(()) => return Ok(Some(directory)),
            Err(TryLockError::WouldBlock) => thread::park_timeout(TRY_INTERVAL),
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
    let message = "another process has locked the directory of the socket";
    Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
}

/// Opens a file for nothing but itself: a socket can be opened in no other way.
fn hold(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)
}

fn identity_of(held: &File) -> io::Result<Identity> {
    held.metadata().map(|found| (found.dev(), found.ino()))
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::{
        fs, io,
        os::unix::{
            fs::{MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
        path::PathBuf,
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        thread,
        time::Duration,
    };

    use socket2::{Domain, SockAddr, Socket, Type};

    use super::listen;

    /// How long anything may take here.
    const LIMIT: Duration = Duration::from_secs(20);

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("keyferry-unix-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn unbound() -> Socket {
        Socket::new(Domain::UNIX, Type::STREAM, None).unwrap()
    }

    #[test]
    fn a_listener_without_room_is_one_that_listens() {
        let directory = Directory::new("full");
        let path = directory.0.join("full.sock");
        let listener = unbound();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(1).unwrap();
        let mut waiting = Vec::new();
        loop {
            let socket = unbound();
            socket.set_nonblocking(true).unwrap();
            match socket.connect(&SockAddr::unix(&path).unwrap()) {
                Ok(()) => waiting.push(socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let number = fs::metadata(&path).unwrap().ino();
        let (tell, told) = mpsc::channel();
        let there = path.clone();
        thread::spawn(move || tell.send(listen(&there, None).map(drop)));
        let error = told.recv_timeout(LIMIT).expect("it does not wait for room").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::metadata(&path).unwrap().ino(), number, "its file stays");
    }

    #[test]
    fn one_that_ends_while_it_has_no_room_is_replaced() {
        let directory = Directory::new("ending");
        let path = directory.0.join("ending.sock");
        let listener = unbound();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        thread::scope(|scope| {
            let start = scope.spawn(|| listen(&path, None).map(drop));
            drop(listener);
            start.join().unwrap().expect("nobody listens there any more");
        });
    }

    /// Many starts find a file that was left behind: one listens, and its file is the one that is there.
    #[test]
    fn of_many_starts_at_once_one_listens() {
        const STARTS: usize = 8;
        const LOOKS_MAX: usize = 10_000;
        let directory = Directory::new("race");
        let path = directory.0.join("race.sock");
        for round in 0..40 {
            drop(UnixListener::bind(&path).unwrap()); // as a killed process leaves it
            let (together, refused) = (Barrier::new(STARTS), AtomicUsize::new(0));
            let start = || {
                together.wait();
                let result = listen(&path, Some(0o640));
                match &result {
                    Ok((socket, _)) => {
                        socket.set_nonblocking(true).unwrap();
                        for _ in 0..LOOKS_MAX {
                            drop(socket.accept()); // whoever looks whether it ends
                            if refused.load(Ordering::SeqCst) == STARTS - 1 {
                                break;
                            }
                            thread::park_timeout(Duration::from_millis(1));
                        }
                    }
                    Err(_) => _ = refused.fetch_add(1, Ordering::SeqCst),
                }
                result
            };
            let results: Vec<_> = thread::scope(|scope| {
                let starts: Vec<_> = (0..STARTS).map(|_| scope.spawn(start)).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            let (listening, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
            assert_eq!(listening.len(), 1, "round {round}");
            for error in refused.into_iter().filter_map(Result::err) {
                assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "round {round}: {error}");
            }
            let (socket, file) = listening.into_iter().flatten().next().unwrap();
            assert_eq!(fs::metadata(&path).unwrap().ino(), file.identity().1, "round {round}");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
            unbound().connect(&SockAddr::unix(&path).unwrap()).expect("whoever listens is reached");
            drop((socket, file));
            assert!(!path.exists(), "round {round}: it goes with its process");
        }
    }

    /// One that ends leaves the file of the next alone, which would have the number of its own if that were free.
    #[test]
    fn a_file_of_somebody_else_is_left() {
        let directory = Directory::new("other");
        let path = directory.0.join("other.sock");
        let (socket, file) = listen(&path, None).unwrap();
        drop(socket);
        let (_next, next) = listen(&path, None).unwrap();
        assert_ne!(file.identity(), next.identity());
        drop(file);
        assert!(path.exists());
    }
}
