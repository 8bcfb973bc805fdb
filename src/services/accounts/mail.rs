//! Messages with links, handed to whoever sends e-mails: signed after Standard Webhooks.
//!
//! A link is made when it is sent. What is stored is the message's id, from which nobody makes the link without this server's
//! key; so each time that a message is repeated it is the same one, and its receiver knows it by its id.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Client, redirect::Policy};
use serde::Serialize;
use url::Url;

use super::{keys::AccountKeys, link};
use crate::{
    config::accounts::Webhook,
    domain::{
        account::{Link, LinkPurpose, Login},
        job::{Mail, SendMail},
        time::{Clock, Timestamp},
    },
    repositories::ledger::{Ledger, LedgerError},
};

/// How long a link in a message is good, in seconds.
const GOOD: i64 = 600;
/// How long the receiver may take to connect, and to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(10);

/// Why a message was not delivered. Never tells the address, the link or the secret.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the receiver of messages answered {0}")]
    Refused(u16),
    #[error("the receiver of messages did not answer: {0}")]
    Unanswered(String),
}

/// Sends messages.
pub struct Postman {
    ledger: Ledger,
    keys: AccountKeys,
    clock: Clock,
    public_url: Option<Url>,
    webhook: Webhook,
    client: Client,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    r#type: &'a str,
    login: &'a Login,
    link: &'a str,
    expires_at: Timestamp,
}

impl Postman {
    pub fn new(
        ledger: Ledger,
        keys: AccountKeys,
        clock: Clock,
        public_url: Option<Url>,
        webhook: Webhook,
    ) -> anyhow::Result<Self> {
        // A redirection would hand the link to somebody else.
        let client =
            Client::builder().no_proxy().redirect(Policy::none()).connect_timeout(CONNECT_LIMIT).timeout(LIMIT).build()?;
        Ok(Self { ledger, keys, clock, public_url, webhook, client })
    }

    /// Sends a message, unless the account that it is for is gone.
    pub async fn send(&self, mail: &SendMail) -> Result<(), Undelivered> {
        let (now, token) = (self.clock.now(), self.keys.link_of(mail.message));
        let (kind, page, login, expires_at) = match &mail.about {
            Mail::Invite { login, expires_at } => ("invite", "invite", login.clone(), *expires_at),
            Mail::PasswordReset { account } => {
                let expires_at = now.plus_seconds(GOOD);
                let reset = Link { token_hash: token.digest(), purpose: LinkPurpose::Reset(account.clone()), expires_at };
                let Some(login) = self.ledger.send_link(&reset, account, now).await? else { return Ok(()) };
                ("password-reset", "reset", login, expires_at)
            }
        };
        let link = link(self.public_url.as_ref(), page, &token);
        let message = Message { r#type: kind, login: &login, link: &link, expires_at };
        let body = serde_json::to_string(&message).expect("plain fields always serialise");
        self.post(&format!("msg_{}", mail.message.simple()), body).await
    }

    async fn post(&self, id: &str, body: String) -> Result<(), Undelivered> {
        let timestamp = self.clock.now().0.div_euclid(1_000_000);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.webhook.secret);
        let signature = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
        let request = self
            .client
            .post(self.webhook.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", format!("v1,{}", STANDARD.encode(signature.as_ref())))
            .body(body);
        let answer = request.send().await.map_err(|error| Undelivered::Unanswered(error.without_url().to_string()))?;
        if answer.status().is_success() { Ok(()) } else { Err(Undelivered::Refused(answer.status().as_u16())) }
    }
}
