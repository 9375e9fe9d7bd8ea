//! TLS with a certificate authority that nobody knows.

use a3s_event_core::{EventError, provider::EventProvider};
use a3s_event_nats::{NatsConfig, NatsProvider, NatsProviderBuilder};
use a3s_event_nats_server::Server;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

use crate::common::{Folder, config, publish_many};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn file(&self, folder: &Folder, name: &str) -> String {
        folder.write(name, &self.0.pem())
    }

    /// Writes a certificate and its key; returns their paths.
    fn issue(&self, folder: &Folder, name: &str, usage: ExtendedKeyUsagePurpose) -> [String; 2] {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        [
            folder.write(&format!("{name}.pem"), &certificate.pem()),
            folder.write(&format!("{name}.key"), &key.serialize_pem()),
        ]
    }
}

struct Setup {
    server: Server,
    folder: Folder,
    authority: Authority,
    roots: String,
}

impl Setup {
    /// A server with a certificate of an authority of its own.
    fn new(more: &str) -> Self {
        let folder = Folder::new();
        let authority = Authority::new();
        let roots = authority.file(&folder, "ca.pem");
        let [certificate, key] =
            authority.issue(&folder, "server", ExtendedKeyUsagePurpose::ServerAuth);
        let server = Server::with_config(&format!(
            "tls {{ cert_file: \"{certificate}\", key_file: \"{key}\", ca_file: \"{roots}\", timeout: 5\n {more} }}"
        ))
        .unwrap();
        Self {
            server,
            folder,
            authority,
            roots,
        }
    }

    fn builder(&self, scheme: &str) -> NatsProviderBuilder {
        NatsProvider::builder(NatsConfig {
            url: self.server.url().replace("nats://", scheme),
            ..config(self.server.url())
        })
    }
}

async fn works(builder: NatsProviderBuilder) {
    let provider = builder.connect().await.unwrap();
    publish_many(&provider, "a", 1).await;
    provider.close().await.unwrap();
}

async fn refused(builder: NatsProviderBuilder) {
    let outcome = builder.connect().await;
    assert!(
        matches!(outcome, Err(EventError::Connection { .. })),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_private_authority_is_trusted_when_it_is_named_and_only_then() {
    let setup = Setup::new("");
    for scheme in ["tls://", "nats://"] {
        works(setup.builder(scheme).root_certificates(&setup.roots)).await;
        refused(setup.builder(scheme)).await;
    }
    let wrong = Authority::new().file(&setup.folder, "wrong.pem");
    refused(setup.builder("tls://").root_certificates(wrong)).await;
    // Nothing was installed for the whole process.
    assert!(async_nats::rustls::crypto::CryptoProvider::get_default().is_none());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_client_certificate_is_shown_when_the_server_asks_for_one() {
    let setup = Setup::new("verify: true");
    let [certificate, key] =
        setup
            .authority
            .issue(&setup.folder, "client", ExtendedKeyUsagePurpose::ClientAuth);
    let builder = || setup.builder("tls://").root_certificates(&setup.roots);
    works(builder().client_certificate(&certificate, &key)).await;
    refused(builder()).await;
    let [stranger, its_key] = Authority::new().issue(
        &setup.folder,
        "stranger",
        ExtendedKeyUsagePurpose::ClientAuth,
    );
    refused(builder().client_certificate(stranger, its_key)).await;
    let outcome = builder()
        .client_certificate(&certificate, "no/such.key")
        .connect()
        .await;
    assert!(
        matches!(outcome, Err(EventError::InvalidOption { .. })),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_server_without_tls_is_refused_when_tls_is_required() {
    let server = Server::start().unwrap();
    let builder = NatsProvider::builder(config(server.url())).require_tls();
    refused(builder).await;
    let url = server.url().replace("nats://", "tls://");
    let builder = NatsProvider::builder(NatsConfig {
        url,
        ..config(server.url())
    });
    refused(builder).await;
}
