"""An authority of certificates, made by openssl for one run."""

from dataclasses import dataclass
from pathlib import Path

from harness import Failed, run

CONFIGURATION = """\
[ca]
default_ca = own
[own]
database = {directory}/index.txt
new_certs_dir = {directory}
rand_serial = yes
default_md = sha256
default_days = 89
policy = any
unique_subject = no
[any]
commonName = supplied
[issued]
subjectAltName = {names}
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
# Nobody asks there; testssl wants to see that somebody could.
crlDistributionPoints = URI:http://127.0.0.1/crl
"""

KEYS = {"ec": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "rsa": ("rsa:2048",)}

PAST = ("-startdate", "20200101000000Z", "-enddate", "20200601000000Z")


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, both PEM."""

    cert: Path
    key: Path

    @property
    def table(self) -> str:
        """As keyferry's configuration has it."""
        return f'{{ cert = "{self.cert}", key = "{self.key}" }}'

    def pin(self) -> str:
        """The SHA-256 of its public key."""
        key = openssl("x509", "-in", self.cert, "-pubkey", "-noout")
        der = openssl("pkey", "-pubin", "-outform", "der", stdin=key)
        return "sha256:" + openssl("dgst", "-sha256", "-binary", stdin=der).hex()


@dataclass(frozen=True)
class Authority:
    """Issues certificates into its directory."""

    directory: Path
    root: Certificate

    @classmethod
    def make(cls, directory: Path) -> "Authority":
        """A new one."""
        directory.mkdir(parents=True)
        (directory / "index.txt").touch()
        return cls(directory, self_signed(directory, "root", "keyUsage=critical,keyCertSign"))

    def issue(self, name: str, names: str, key: str = "ec", when: tuple[str, ...] = ()) -> Certificate:
        """A certificate for `names`, such as `DNS:a.example,IP:127.0.0.1`; `name` is that of the files."""
        made = Certificate(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        request, configuration = self.directory / f"{name}.csr", self.directory / f"{name}.cnf"
        configuration.write_text(CONFIGURATION.format(directory=self.directory, names=names))
        subject = ("-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        openssl("req", "-newkey", *KEYS[key], "-nodes", *subject)
        root = ("-cert", self.root.cert, "-keyfile", self.root.key)
        openssl("ca", "-batch", "-notext", "-config", configuration, "-extensions", "issued", *root,
                "-in", request, "-out", made.cert, *when)
        return made


def self_signed(directory: Path, name: str, *extensions: str) -> Certificate:
    """A certificate that nobody else answers for."""
    made = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
    added = [word for extension in extensions for word in ("-addext", extension)]
    openssl("req", "-x509", "-newkey", *KEYS["ec"], "-nodes", "-days", "30", "-subj", f"/CN={name}", *added,
            "-keyout", made.key, "-out", made.cert)
    return made


def openssl(*arguments: object, stdin: bytes = b"") -> bytes:
    """What openssl prints."""
    done = run(["openssl", *map(str, arguments)], input=stdin)
    if done.returncode:
        raise Failed(f"openssl {arguments[0]}: {done.stderr.decode()}")
    return done.stdout
