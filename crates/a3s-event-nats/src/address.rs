//! The `url` of a configuration: several servers, with credentials inside,
//! which the client would ignore.

use a3s_event_core::{EventError, Result};
use async_nats::ServerAddr;

/// What a `url` says.
pub(crate) struct Addresses {
    /// The servers, without credentials.
    pub(crate) servers: Vec<ServerAddr>,
    /// The servers as text for errors, without credentials.
    pub(crate) shown: String,
    /// The credentials, where the URL has some.
    pub(crate) login: Option<Login>,
}

/// Credentials in a URL.
#[derive(PartialEq, Eq)]
pub(crate) enum Login {
    Token(String),
    Password { user: String, password: String },
}

impl Addresses {
    /// Takes `url` apart.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        // No error may quote the text: it can hold credentials.
        let invalid = |reason: &str| EventError::invalid_option("url", reason);
        if url.chars().any(|c| c.is_control() || c == ' ') {
            return Err(invalid("must not hold white space or control characters"));
        }
        let mut servers = Vec::new();
        let mut login = None;
        for part in url.split(',') {
            let address: ServerAddr = part
                .parse()
                .map_err(|_| invalid("must be `nats://host:port`, several separated by commas"))?;
            if !matches!(address.scheme(), "nats" | "tls") {
                return Err(invalid("must begin with `nats://` or `tls://`"));
            }
            if address.host().is_empty() {
                return Err(invalid("must name a host"));
            }
            if let Some(found) = Login::of(&address)? {
                if login.as_ref().is_some_and(|known| *known != found) {
                    return Err(invalid("must not hold different credentials"));
                }
                login = Some(found);
            }
            servers.push(bare(address)?);
        }
        let shown: Vec<String> = servers
            .iter()
            .map(|server| format!("{}:{}", server.host(), server.port()))
            .collect();
        Ok(Self {
            servers,
            shown: shown.join(","),
            login,
        })
    }
}

impl Login {
    fn of(address: &ServerAddr) -> Result<Option<Self>> {
        let Some(user) = address.username() else {
            return Ok(None);
        };
        let user = percent_decoded(user)?;
        Ok(Some(match address.password() {
            Some(password) => Self::Password {
                user,
                password: percent_decoded(password)?,
            },
            None => Self::Token(user),
        }))
    }
}

fn bare(address: ServerAddr) -> Result<ServerAddr> {
    let mut url = address.into_inner();
    url.set_username("")
        .and_then(|()| url.set_password(None))
        .ok()
        .and_then(|()| ServerAddr::from_url(url).ok())
        .ok_or_else(|| EventError::invalid_option("url", "must name a host"))
}

/// The text with everything before the `@` of each server left out.
pub(crate) fn without_credentials(url: &str) -> String {
    let parts: Vec<String> = url
        .split(',')
        .map(|part| {
            let (scheme, rest) = match part.split_once("://") {
                Some((scheme, rest)) => (format!("{scheme}://"), rest),
                None => (String::new(), part),
            };
            match rest.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}<hidden>@{host}"),
                None => format!("{scheme}{rest}"),
            }
        })
        .collect();
    parts.join(",")
}

fn percent_decoded(text: &str) -> Result<String> {
    let invalid =
        || EventError::invalid_option("url", "must hold credentials as percent-encoded UTF-8");
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || {
            bytes
                .next()
                .and_then(|digit| char::from(digit).to_digit(16))
                .ok_or_else(invalid)
        };
        let value = digit()? * 16 + digit()?;
        decoded.push(u8::try_from(value).map_err(|_| invalid())?);
    }
    String::from_utf8(decoded).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_servers_are_taken_apart() {
        let parsed = Addresses::parse("nats://a:4222,tls://b:5222,c").unwrap();
        assert_eq!(parsed.shown, "a:4222,b:5222,c:4222");
        assert!(parsed.login.is_none());
        assert!(parsed.servers[1].tls_required());
    }

    #[test]
    fn credentials_are_extracted_and_do_not_stay_in_the_address() {
        let parsed = Addresses::parse("nats://ann:p%40ss%3A@a:1,nats://ann:p%40ss%3A@b:2").unwrap();
        assert!(matches!(
            parsed.login,
            Some(Login::Password { user, password }) if user == "ann" && password == "p@ss:"
        ));
        for server in &parsed.servers {
            assert!(!server.as_url_str().contains("ann"), "{server:?}");
        }
        let parsed = Addresses::parse("t0ken@a").unwrap();
        assert!(matches!(parsed.login, Some(Login::Token(token)) if token == "t0ken"));
    }

    #[test]
    fn what_is_no_address_is_refused_without_quoting_it() {
        for url in [
            "",
            "nats://",
            "http://a",
            "ws://a",
            "nats://s3cret@a,nats://other@b",
            "nats://s3cret@a\r\nPUB x 0",
            "nats://s3cret%ZZ@a",
            "nats://s3cret@a,",
        ] {
            let error = Addresses::parse(url).err().unwrap();
            assert!(matches!(error, EventError::InvalidOption { .. }), "{url}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }
}
