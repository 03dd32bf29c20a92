//! TLS: from certificates and settings to what rustls takes, the parts that did not change left as they were.
//!
//! Listeners are numbered as they stood in the first plan, whose sockets the process has; a later plan only tells how
//! those speak. What a session may be resumed with is made here and nowhere else: see [`Tls::tickets`].

mod names;
#[cfg(test)]
pub(super) mod tests;
mod verify;

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, Error, ServerConfig, SupportedProtocolVersion,
    client::{Resumption, WebPkiServerVerifier},
    crypto::{
        CryptoProvider,
        ring::{Ticketer, cipher_suite, default_provider},
    },
    server::{
        NoClientAuth, NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};

use names::Certificates;
use verify::Verifier;

use crate::{
    config::{
        Diagnostic, Severity,
        plan::{Authorities, ClientCa, Identity, ListenerTls, Plan, Roots, TargetTls, TlsVersion},
    },
    limits::TLS_SESSIONS_MAX,
    snapshot::UpstreamTls,
    types::Endpoint,
};

/// What is spoken inside of TLS.
const PROTOCOL: &[u8] = b"http/1.1";

static ANY_VERSION: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static LATEST_VERSION: [&SupportedProtocolVersion; 1] = [&TLS13];

/// A certificate of ours that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInUse {
    /// What it is for.
    pub role: CertificateRole,
    /// Its first name, or else its subject.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// When it expires, in seconds since the Unix epoch.
    pub expires: i64,
}

/// What a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateRole {
    /// Callers see it at a listener with this address.
    Listener(Endpoint),
    /// The target with this name sees it.
    Target(String),
}

/// What outlives one plan.
#[derive(Clone, Default)]
pub(super) struct Tls {
    provider: Option<Arc<CryptoProvider>>,
    /// For all listeners that ask callers for no certificate.
    tickets: Option<Arc<dyn ProducesTickets>>,
    /// For those that do, by what they ask for.
    tickets_of: Vec<(ClientCa, Arc<dyn ProducesTickets>)>,
    /// As the process has them; none before the first plan.
    listeners: Option<Vec<Started>>,
    targets: HashMap<String, (Arc<TargetTls>, Arc<UpstreamTls>)>,
    /// What checks the certificates that credentials know callers by. Connections remember which of these said yes.
    callers: Vec<(Arc<Authorities>, Arc<dyn ClientCertVerifier>)>,
}

#[derive(Clone)]
struct Started {
    address: Endpoint,
    /// Settings, and what was made of them.
    tls: Option<(Arc<ListenerTls>, Arc<ServerConfig>)>,
}

/// What one plan makes of it.
#[derive(Default)]
pub(super) struct CompiledTls {
    /// By number of the listener.
    pub listeners: Arc<[Option<Arc<ServerConfig>>]>,
    /// By position of the target.
    pub upstreams: Vec<Option<Arc<UpstreamTls>>>,
    /// By position of the proxy credential.
    pub callers: Vec<Option<Arc<dyn ClientCertVerifier>>>,
    pub certificates: Vec<CertificateInUse>,
}

impl Tls {
    /// Compiles what a plan says about TLS.
    pub(super) fn compile(&mut self, plan: &Plan) -> Result<CompiledTls, Vec<Diagnostic>> {
        self.try_compile(plan).map_err(|error| {
            vec![Diagnostic {
                severity: Severity::Error,
                file: "tls".to_owned(),
                line: 0,
                column: 0,
                key: None,
                value: None,
                message: format!("it cannot be set up: {error}"),
                help: None,
            }]
        })
    }

    fn try_compile(&mut self, plan: &Plan) -> Result<CompiledTls, Error> {
        let before = self.listeners.take();
        let planned = listeners(plan, before.as_deref());
        let mut started = Vec::with_capacity(planned.len());
        for (at, (address, planned)) in planned.into_iter().enumerate() {
            let known = before.as_ref().and_then(|before| before.get(at)?.tls.clone());
            let tls = match (planned, known) {
                (Some(planned), Some(known)) if planned == known.0 => Some(known),
                (Some(planned), _) => Some((Arc::clone(&planned), self.listener(&planned)?)),
                (None, _) => None,
            };
            started.push(Started { address, tls });
        }
        let in_use = |client: &ClientCa| {
            started
                .iter()
                .any(|one| one.tls.as_ref().is_some_and(|(tls, _)| tls.client.as_ref() == Some(client)))
        };
        self.tickets_of.retain(|(client, _)| in_use(client));
        let upstreams = self.targets(plan)?;
        let callers = self.callers(plan)?;
        let compiled = CompiledTls {
            listeners: started
                .iter()
                .map(|one| one.tls.as_ref().map(|(_, config)| Arc::clone(config)))
                .collect(),
            upstreams,
            callers,
            certificates: certificates(&started, plan),
        };
        self.listeners = Some(started);
        Ok(compiled)
    }

    fn targets(&mut self, plan: &Plan) -> Result<Vec<Option<Arc<UpstreamTls>>>, Error> {
        let mut before = std::mem::take(&mut self.targets);
        let mut found = Vec::with_capacity(plan.targets.len());
        for target in &plan.targets {
            let Some(tls) = &target.tls else {
                found.push(None);
                continue;
            };
            let known = before.remove(&target.name).filter(|(known, _)| known == tls);
            let known = match known {
                Some(known) => known,
                None => (Arc::clone(tls), Arc::new(self.upstream(tls)?)),
            };
            found.push(Some(Arc::clone(&known.1)));
            self.targets.insert(target.name.clone(), known);
        }
        Ok(found)
    }

    fn callers(&mut self, plan: &Plan) -> Result<Vec<Option<Arc<dyn ClientCertVerifier>>>, Error> {
        let before = std::mem::take(&mut self.callers);
        let mut found = Vec::with_capacity(plan.proxy_credentials.len());
        for credential in &plan.proxy_credentials {
            let Some(authorities) = &credential.authorities else {
                found.push(None);
                continue;
            };
            let same = |(known, _): &&(Arc<Authorities>, _)| known == authorities;
            let known = self.callers.iter().find(same).or_else(|| before.iter().find(same)).cloned();
            let known = match known {
                Some(known) => known,
                None => (Arc::clone(authorities), self.verifier(authorities, true)?),
            };
            found.push(Some(Arc::clone(&known.1)));
            self.callers.push(known);
        }
        Ok(found)
    }

    /// What checks the certificates of callers.
    fn verifier(
        &mut self,
        authorities: &Authorities,
        required: bool,
    ) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let store = Arc::clone(&authorities.store);
        let verifier = WebPkiClientVerifier::builder_with_provider(store, self.provider());
        let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
        verifier.build().map_err(|error| Error::General(error.to_string()))
    }

    fn listener(&mut self, tls: &ListenerTls) -> Result<Arc<ServerConfig>, Error> {
        let builder = ServerConfig::builder_with_provider(self.provider());
        let builder = builder.with_protocol_versions(versions(tls.min_version))?;
        let builder = match &tls.client {
            None => builder.with_client_cert_verifier(Arc::new(NoClientAuth)),
            Some(client) => {
                builder.with_client_cert_verifier(self.verifier(&client.authorities, client.required)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(Certificates::new(&tls.certificates)));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = self.tickets(tls.client.as_ref())?;
        config.send_tls13_tickets = 1;
        config.max_early_data_size = 0; // what is sent early can be sent again by anybody
        config.enable_secret_extraction = true;
        Ok(Arc::new(config))
    }

    fn upstream(&mut self, tls: &TargetTls) -> Result<UpstreamTls, Error> {
        let provider = self.provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions(tls.min_version))?;
        let usual = match &tls.roots {
            Roots::Anybody => None,
            Roots::Authorities(roots) => {
                let store = Arc::clone(&roots.store);
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(store, Arc::clone(&provider)).build();
                Some(verifier.map_err(|error| Error::General(error.to_string()))?)
            }
        };
        let builder = match (&tls.roots, usual) {
            (_, Some(usual)) if tls.pins.is_empty() => builder.with_webpki_verifier(usual),
            (roots, usual) => {
                let roots = match roots {
                    Roots::Authorities(roots) => roots.certificates.as_slice(),
                    Roots::Anybody => &[],
                };
                let verifier = Verifier::new(usual, roots, &tls.pins, &provider);
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let mut client = match &tls.identity {
            Some(identity) => {
                let certified = Arc::clone(&identity.certified);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
            None => builder.with_no_client_auth(),
        };
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.resumption = Resumption::in_memory_sessions(TLS_SESSIONS_MAX);
        client.enable_secret_extraction = true;
        Ok(UpstreamTls { client: Arc::new(client), name: tls.server_name.clone() })
    }

    /// What makes tickets. A ticket that was given to a caller with a certificate says that it had one, so it must be
    /// worth nothing where others are asked for: each such setting has its own.
    fn tickets(&mut self, client: Option<&ClientCa>) -> Result<Arc<dyn ProducesTickets>, Error> {
        let known = match client {
            None => self.tickets.as_ref(),
            Some(client) => self.tickets_of.iter().find(|(known, _)| known == client).map(|(_, known)| known),
        };
        if let Some(known) = known {
            return Ok(Arc::clone(known));
        }
        let tickets = Ticketer::new()?;
        match client {
            None => self.tickets = Some(Arc::clone(&tickets)),
            Some(client) => self.tickets_of.push((client.clone(), Arc::clone(&tickets))),
        }
        Ok(tickets)
    }

    /// AES-128 first: it is as good as AES-256 for what lasts as long as a connection, and cheaper.
    fn provider(&mut self) -> Arc<CryptoProvider> {
        let make = || {
            let cipher_suites = vec![
                cipher_suite::TLS13_AES_128_GCM_SHA256,
                cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
                cipher_suite::TLS13_AES_256_GCM_SHA384,
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            ];
            Arc::new(CryptoProvider { cipher_suites, ..default_provider() })
        };
        Arc::clone(self.provider.get_or_insert_with(make))
    }
}

/// How each listener of the process speaks from now on. One that is gone from the plan, or that would begin or end to
/// speak TLS, keeps what it has: its socket is as it was until the next start.
fn listeners(plan: &Plan, before: Option<&[Started]>) -> Vec<(Endpoint, Option<Arc<ListenerTls>>)> {
    let Some(before) = before else {
        return plan.listeners.iter().map(|one| (one.address.clone(), one.tls.clone())).collect();
    };
    // Several may have the same address, with port 0: they are told apart by their order.
    let mut left: Vec<_> = plan.listeners.iter().collect();
    let mut next = |address: &Endpoint| {
        let at = left.iter().position(|one| one.address == *address)?;
        Some(left.remove(at))
    };
    let of = |started: &Started| {
        let known = started.tls.as_ref().map(|(tls, _)| Arc::clone(tls));
        let tls = match next(&started.address).map(|one| one.tls.clone()) {
            Some(Some(planned)) if known.is_some() => Some(planned),
            _ => known,
        };
        (started.address.clone(), tls)
    };
    before.iter().map(of).collect()
}

fn certificates(started: &[Started], plan: &Plan) -> Vec<CertificateInUse> {
    let in_use = |role: CertificateRole, identity: &Identity| CertificateInUse {
        role,
        name: identity.label.clone(),
        path: identity.path.clone(),
        expires: identity.expires,
    };
    let of_listeners = started.iter().flat_map(|one| {
        let identities = one.tls.iter().flat_map(|(tls, _)| &tls.certificates);
        identities.map(|identity| in_use(CertificateRole::Listener(one.address.clone()), identity))
    });
    let of_targets = plan.targets.iter().filter_map(|target| {
        let identity = target.tls.as_ref()?.identity.as_ref()?;
        Some(in_use(CertificateRole::Target(target.name.clone()), identity))
    });
    of_listeners.chain(of_targets).collect()
}

fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match least {
        TlsVersion::Tls12 => &ANY_VERSION,
        TlsVersion::Tls13 => &LATEST_VERSION,
    }
}
