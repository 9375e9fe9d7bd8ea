//! Every way to log in, against servers that ask for it.

use a3s_event_core::{EventError, provider::EventProvider};
use a3s_event_nats::{NatsConfig, NatsProvider};
use a3s_event_nats_server::Server;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::common::{config, publish_many};

async fn works(outcome: a3s_event_core::Result<NatsProvider>) {
    let provider = outcome.unwrap();
    publish_many(&provider, "a", 1).await;
    provider.close().await.unwrap();
}

#[track_caller]
fn refused(outcome: a3s_event_core::Result<NatsProvider>, secrets: &[&str]) {
    let error = outcome.unwrap_err();
    let mut shown = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        shown += &error.to_string();
        cause = error.source();
    }
    assert!(matches!(error, EventError::Connection { .. }), "{shown}");
    for secret in secrets {
        assert!(!shown.contains(secret), "{shown}");
    }
}

fn with_login(server: &Server, login: &str) -> String {
    server.url().replace("nats://", &format!("nats://{login}@"))
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_token_is_taken_from_the_configuration_or_the_url() {
    let server = Server::with_config("authorization { token: \"s3cret/tok\" }").unwrap();
    let with = |token: Option<&str>, url: String| {
        NatsProvider::connect(NatsConfig {
            url,
            token: token.map(str::to_owned),
            ..config(server.url())
        })
    };
    works(with(Some("s3cret/tok"), server.url().to_owned()).await).await;
    works(with(None, with_login(&server, "s3cret%2Ftok")).await).await;
    refused(with(None, server.url().to_owned()).await, &[]);
    refused(
        with(Some("wr0ng"), server.url().to_owned()).await,
        &["wr0ng"],
    );
    refused(with(None, with_login(&server, "wr0ng")).await, &["wr0ng"]);
    let twice = with(Some("s3cret/tok"), with_login(&server, "s3cret%2Ftok")).await;
    assert!(
        matches!(twice, Err(EventError::InvalidOption { .. })),
        "{twice:?}"
    );
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_user_and_a_password_are_taken_from_the_builder_or_the_url() {
    let server = Server::with_config(
        "authorization { users: [ { user: ann, password: \"s3cret:@pass\" } ] }",
    )
    .unwrap();
    let builder = || NatsProvider::builder(config(server.url()));
    let right = builder().user_and_password("ann", "s3cret:@pass");
    assert!(!format!("{right:?}").contains("s3cret"));
    works(right.connect().await).await;
    refused(
        builder().user_and_password("ann", "wr0ng").connect().await,
        &["wr0ng"],
    );
    let in_url = NatsConfig {
        url: with_login(&server, "ann:s3cret%3A%40pass"),
        ..config(server.url())
    };
    assert!(!format!("{in_url:?}").contains("s3cret"));
    works(NatsProvider::connect(in_url).await).await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn an_nkey_answers_the_challenge() {
    let (key, other) = (KeyPair::new_user(), KeyPair::new_user());
    let server = Server::with_config(&format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}",
        key.public_key()
    ))
    .unwrap();
    let (seed, other) = (key.seed().unwrap(), other.seed().unwrap());
    let builder = || NatsProvider::builder(config(server.url()));
    works(builder().nkey(&seed).connect().await).await;
    refused(builder().nkey(&other).connect().await, &[&other]);
    refused(builder().nkey("SUwrong").connect().await, &["SUwrong"]);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_credentials_file_logs_in_and_a_missing_one_is_an_error_before_connecting() {
    let (operator, account, user) = (
        KeyPair::new_operator(),
        KeyPair::new_account(),
        KeyPair::new_user(),
    );
    let system = KeyPair::new_account();
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let operator_claims = json!({
        "type": "operator", "version": 2, "system_account": system.public_key(),
    });
    let account_claims =
        |limits: &Value| json!({"type": "account", "version": 2, "limits": limits});
    let user_claims = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
    let mut system_limits = limits.clone();
    for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
        system_limits[limit] = json!(0);
    }
    let server = Server::with_config(&format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}",
        token(&operator, &operator, "O", &operator_claims),
        system.public_key(),
        account.public_key(),
        token(&account, &operator, "A", &account_claims(&limits)),
        system.public_key(),
        token(&system, &operator, "SYS", &account_claims(&system_limits)),
    ))
    .unwrap();
    let seed = user.seed().unwrap();
    let credentials = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n",
        token(&user, &account, "U", &user_claims),
    );
    let folder = crate::common::Folder::new();
    let path = folder.write("user.creds", &credentials);
    let with = |path: &str| {
        NatsProvider::connect(NatsConfig {
            credentials_path: Some(path.to_owned()),
            ..config(server.url())
        })
    };
    works(with(&path).await).await;
    refused(NatsProvider::connect(config(server.url())).await, &[]);
    let empty = folder.write("empty.creds", "nothing");
    for path in ["no/such.creds", &empty] {
        let outcome = with(path).await;
        assert!(
            matches!(&outcome, Err(EventError::InvalidOption { option, reason, .. })
                if option == "credentials_path" && reason.contains(path)),
            "{outcome:?}"
        );
    }
}

/// A token as the tools of NATS make them.
fn token(subject: &KeyPair, issuer: &KeyPair, name: &str, claims: &Value) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let body = json!({
        "jti": name, "iat": 1_700_000_000, "name": name,
        "iss": issuer.public_key(), "sub": subject.public_key(), "nats": claims,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&body));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
