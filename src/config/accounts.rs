//! Accounts: who may have one, and how those who forget their password are told.

use std::{fmt, num::NonZeroU32, path::PathBuf};

use anyhow::{Context, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::{Args, ValueEnum};
use url::Url;

use super::{given, parse};

/// Bytes of the secret that messages are signed with.
const WEBHOOK_SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// See the module's documentation.
#[derive(Clone, Args)]
pub struct AccountSettings {
    /// Who may have an account here: nobody (`off`), `guests` alone, those who are `invited`, or everybody (`open`).
    #[arg(long, env = "ACCOUNTS", value_enum, default_value = "off", hide_env_values = true)]
    pub accounts: Accounts,
    /// What links begin with: where browsers reach this server, such as `https://scores.example.com`.
    #[arg(long, env = "PUBLIC_URL")]
    pub public_url: Option<String>,
    /// Where messages with links are sent, to be passed on by e-mail: https, or http on this machine.
    #[arg(long, env = "AUTH_WEBHOOK_URL", hide_env_values = true)]
    pub auth_webhook_url: Option<String>,
    /// What these messages are signed with: `whsec_` and 24 to 64 bytes in base64.
    #[arg(long, env = "AUTH_WEBHOOK_SECRET", hide_env_values = true)]
    pub auth_webhook_secret: Option<String>,
    /// File that lists identity providers whose ID tokens sign players in; it may be replaced while the server runs.
    #[arg(long, env = "OIDC_PROVIDERS_FILE")]
    pub oidc_providers_file: Option<PathBuf>,
    /// Guests that one client address (IPv6: one /64) may make within an hour.
    #[arg(long, env = "GUESTS_PER_ADDRESS", default_value = "20", value_parser = parse::positive::<NonZeroU32>)]
    pub guests_per_address: NonZeroU32,
}

/// See [`AccountSettings::accounts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Accounts {
    Off,
    Guests,
    Invited,
    Open,
}

/// Where messages are sent, and the secret that they are signed with.
#[derive(Clone)]
pub struct Webhook {
    pub url: Url,
    pub secret: Vec<u8>,
}

impl AccountSettings {
    /// `PUBLIC_URL` without a slash at its end.
    pub fn public_url(&self) -> anyhow::Result<Option<Url>> {
        public_url(&self.public_url)
    }

    /// Where messages are sent, if anywhere. No error repeats the address or the secret.
    pub fn webhook(&self) -> anyhow::Result<Option<Webhook>> {
        let (url, secret) = match (given(&self.auth_webhook_url), given(&self.auth_webhook_secret)) {
            (None, None) => return Ok(None),
            (Some(url), Some(secret)) => (url, secret),
            _ => bail!("AUTH_WEBHOOK_URL and AUTH_WEBHOOK_SECRET need each other"),
        };
        let url = Url::parse(url).context("AUTH_WEBHOOK_URL is no address")?;
        let safe = url.scheme() == "https" || (url.scheme() == "http" && parse::is_loopback(&url));
        ensure!(safe, "AUTH_WEBHOOK_URL has to be https, because links are secret, or http on this machine");
        let secret = secret.strip_prefix("whsec_").context("AUTH_WEBHOOK_SECRET has to begin with whsec_")?;
        let secret = STANDARD.decode(secret).ok().context("AUTH_WEBHOOK_SECRET has to be whsec_ and base64")?;
        ensure!(WEBHOOK_SECRET_BYTES.contains(&secret.len()), "AUTH_WEBHOOK_SECRET has to hold 24 to 64 bytes");
        Ok(Some(Webhook { url, secret }))
    }
}

/// What this setting of `PUBLIC_URL` says, without a slash at its end.
pub fn public_url(setting: &Option<String>) -> anyhow::Result<Option<Url>> {
    let Some(text) = given(setting) else { return Ok(None) };
    let url = Url::parse(text.trim_end_matches('/')).context("PUBLIC_URL is no address")?;
    let plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    ensure!(plain && url.has_host(), "PUBLIC_URL has to look like https://scores.example.com");
    ensure!(url.username().is_empty() && url.password().is_none(), "PUBLIC_URL must not hold a password");
    Ok(Some(url))
}

impl fmt::Debug for AccountSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountSettings")
            .field("accounts", &self.accounts)
            .field("public_url", &self.public_url)
            .field("auth_webhook_url", &self.auth_webhook_url.as_ref().map(|_| "…"))
            .field("auth_webhook_secret", &self.auth_webhook_secret.as_ref().map(|_| "…"))
            .field("guests_per_address", &self.guests_per_address)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Settings;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn webhook(flags: &[&str]) -> Result<bool, String> {
        let settings = Settings::from_flags(flags.iter().copied()).unwrap();
        settings.accounts.webhook().map(|webhook| webhook.is_some()).map_err(|error| error.to_string())
    }

    #[test]
    fn links_are_sent_only_where_nobody_else_reads_them() {
        assert_eq!(webhook(&[]), Ok(false));
        for url in ["https://mail.example.com/x", "http://localhost:8025", "http://127.0.0.1:1/x", "http://[::1]:1/"] {
            assert_eq!(webhook(&["--auth-webhook-url", url, "--auth-webhook-secret", SECRET]), Ok(true), "{url}");
        }
        for url in ["http://mail.example.com", "http://127.0.0.1.example.com", "ftp://localhost", "mail"] {
            let refused = webhook(&["--auth-webhook-url", url, "--auth-webhook-secret", SECRET]).unwrap_err();
            assert!(refused.contains("AUTH_WEBHOOK_URL"), "{url}: {refused}");
        }
        for secret in ["secret", "whsec_short", "whsec_?", "whsec_c2hvcnQ="] {
            let refused = webhook(&["--auth-webhook-url", "https://mail.example.com", "--auth-webhook-secret", secret]);
            assert!(refused.unwrap_err().contains("AUTH_WEBHOOK_SECRET"), "{secret}");
        }
        assert!(webhook(&["--auth-webhook-url", "https://mail.example.com"]).unwrap_err().contains("need each other"));
    }

    #[test]
    fn links_begin_with_an_address_for_browsers() {
        let public = |url: &str| Settings::from_flags(["--public-url", url]).unwrap().accounts.public_url();
        assert_eq!(public("https://scores.example.com/").unwrap().unwrap().as_str(), "https://scores.example.com/");
        assert_eq!(public("http://localhost:8080/boards/").unwrap().unwrap().as_str(), "http://localhost:8080/boards");
        for bad in ["scores.example.com", "ftp://x", "https://x/?a=b", "https://a:b@x"] {
            assert!(public(bad).is_err(), "{bad}");
        }
    }
}
