//! The files of Unix sockets: made at the start, gone at the end.
//!
//! A file that a gateway left behind is replaced; one that somebody listens at is left alone, and so is whatever is no
//! socket. At the end a file is removed only if it is still the one that was made. A successor gets it with the socket,
//! and is told which file that is.

use std::{
    fs,
    io::{self, Read},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};
use tracing::warn;

use crate::limits::LISTEN_BACKLOG;

/// How long a socket file whose process may just have been killed is given.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked at.
const LOOKS: usize = 4;

/// The file of a socket, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
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
        Self { path, identity: known }
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
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path); // if it stays, the next start replaces it
        }
    }
}

/// Listens at a path. Nobody can connect before the file has its mode.
pub(super) fn listen(path: &Path, mode: Option<u32>) -> io::Result<(Socket, SocketFile)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile { path: path.to_owned(), identity: identity(path)? };
    if let Some(mode) = mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.listen(LISTEN_BACKLOG)?;
    Ok((socket, file))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            let message = "there is a file that is no socket; remove it, or choose another path";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        Ok(_) => {}
    }
    for _ in 0..LOOKS {
        match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return fs::remove_file(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Ok(stream) if ends_soon(&stream) => {}
            // One that may not be asked, or has no room for us, is in use as well.
            _ => break,
        }
    }
    let message = "the socket is in use: another process listens there";
    Err(io::Error::new(io::ErrorKind::AddrInUse, message))
}

/// Whether a connection comes to its end: the kernel closes what a killed process had in its ring a moment after the
/// process itself is gone, so that a socket may still take connections that nobody will ever accept.
fn ends_soon(mut stream: &UnixStream) -> bool {
    let waits = stream.set_read_timeout(Some(PATIENCE));
    waits.is_ok()
        && match stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}
