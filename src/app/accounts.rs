//! Accounts, where the settings ask for them.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, bail};
use url::Url;

use crate::{
    config::{
        Settings,
        accounts::{Accounts as OpenTo, Webhook},
    },
    domain::time::Clock,
    repositories::ledger::Ledger,
    services::{
        accounts::{Accounts, keys::AccountKeys, mail::Postman},
        identity_providers::IdentityProviders,
        passwords::Passwords,
        secrets::RootSecret,
        sessions::Sessions,
        turns::Turns,
    },
    workers::Workers,
};

/// What the settings ask for, checked before anything is opened.
pub struct Plan {
    open_to: OpenTo,
    root: RootSecret,
    public_url: Option<Url>,
    webhook: Option<Webhook>,
    guests_per_address: i64,
    providers: Option<Arc<IdentityProviders>>,
}

impl Plan {
    /// `None`: there are no accounts.
    pub fn of(settings: &Settings) -> anyhow::Result<Option<Self>> {
        let asked = &settings.accounts;
        let (public_url, webhook) = (asked.public_url()?, asked.webhook()?);
        let file = asked.oidc_providers_file.clone().filter(|path| !path.as_os_str().is_empty());
        let load = |path: PathBuf| {
            let name = format!("OIDC_PROVIDERS_FILE {}", path.display());
            IdentityProviders::load(path).context(name)
        };
        let providers = file.map(load).transpose()?;
        if asked.accounts == OpenTo::Off {
            return Ok(None);
        }
        let Some(root) = RootSecret::configure(&settings.tokens, &settings.storage.data_dir)? else {
            bail!("ACCOUNTS needs SESSION_SECRET where tokens are checked with a public key: sessions are signed here");
        };
        let guests_per_address = asked.guests_per_address.get().into();
        Ok(Some(Self { open_to: asked.accounts, root, public_url, webhook, guests_per_address, providers }))
    }
}

/// What there is of accounts.
#[derive(Default)]
pub struct Built {
    pub accounts: Option<Arc<Accounts>>,
    pub sessions: Option<Arc<Sessions>>,
    pub postman: Option<Arc<Postman>>,
}

/// Makes the services behind accounts, and the task that learns of ended sessions.
pub async fn build(
    plan: Option<Plan>,
    ledger: &Ledger,
    clock: &Clock,
    turns: &Arc<Turns>,
    workers: &mut Workers,
) -> anyhow::Result<Built> {
    let Some(Plan { open_to, root, public_url, webhook, guests_per_address, providers }) = plan else {
        return Ok(Built::default());
    };
    let sessions = Sessions::begin(&root, ledger.clone(), clock.clone()).await?;
    let follower = Arc::clone(&sessions);
    workers.spawn("ended sessions", move || Arc::clone(&follower).follow());
    if let Some(providers) = &providers {
        let providers = Arc::clone(providers);
        workers.spawn("identity providers", move || Arc::clone(&providers).keep_fresh());
    }
    let accounts = Accounts {
        ledger: ledger.clone(),
        sessions: Arc::clone(&sessions),
        passwords: Passwords::start().context("the threads for passwords cannot be started")?,
        keys: AccountKeys::new(&root),
        open_to,
        public_url: public_url.clone(),
        sends_mail: webhook.is_some(),
        guests_per_address,
        providers,
        clock: clock.clone(),
        turns: Arc::clone(turns),
    };
    let postman = webhook
        .map(|webhook| Postman::new(ledger.clone(), AccountKeys::new(&root), clock.clone(), public_url, webhook).map(Arc::new));
    Ok(Built { accounts: Some(Arc::new(accounts)), sessions: Some(sessions), postman: postman.transpose()? })
}
