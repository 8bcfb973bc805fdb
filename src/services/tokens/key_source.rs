//! Where an issuer's keys come from: a file that may be replaced, or an address that is asked again and again.
//!
//! An issuer that is away takes nothing from the keys that are known, for a day. An unknown key is a reason to ask, but not more often than every
//! thirty seconds: whoever invents key ids makes no storm.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use arc_swap::ArcSwap;
use futures_util::StreamExt;
use tokio::sync::Mutex;
use url::Url;

use crate::config::parse::is_loopback;

use super::key_set::{KeySet, PublishedKey};

/// How often a file is looked at: a change counts within five seconds.
const LOOK: Duration = Duration::from_secs(2);
/// How often an issuer is asked although nobody misses a key, so that keys that it has withdrawn are not accepted for long.
const RENEW: Duration = Duration::from_secs(300);
/// The shortest time between two questions to an issuer, whatever came of them.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// How long keys are good that the issuer has not confirmed.
const GOOD_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long an issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest set of keys, in bytes.
const LARGEST: usize = 256 * 1024;

/// Counts the changes of all sets: what was verified before the newest one has to be verified again.
pub type Changes = Arc<AtomicU64>;

/// See the module's documentation.
pub struct KeySource {
    place: Place,
    known: ArcSwap<Known>,
    /// When the issuer was last asked. Locked for as long as a question takes: others wait for the answer to it.
    asked: Mutex<Option<Instant>>,
    changes: Changes,
}

enum Place {
    File(PathBuf),
    Issuer(Url, reqwest::Client),
}

struct Known {
    text: Vec<u8>,
    keys: KeySet,
    /// When it was last confirmed; `None` if it never was.
    at: Option<Instant>,
}

impl KeySource {
    /// Keys in a file, which has to hold one that is usable.
    pub fn file(path: PathBuf, changes: Changes) -> anyhow::Result<Arc<Self>> {
        let text = read(&path)?;
        let keys = KeySet::parse(&text).map_err(anyhow::Error::msg)?;
        ensure!(!keys.is_empty(), "it holds no key that tokens could be checked with");
        let known = Known { text, keys, at: Some(Instant::now()) };
        Ok(Self::new(Place::File(path), known, changes))
    }

    /// Keys at an address: `https`, or `http` on this machine alone. Nothing is asked yet.
    pub fn issuer(url: &str, changes: Changes) -> anyhow::Result<Arc<Self>> {
        let url = checked(url)?;
        // Redirects are not followed: they could lead to an address that was not checked.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build()?;
        let known = Known { text: Vec::new(), keys: KeySet::default(), at: None };
        Ok(Self::new(Place::Issuer(url, client), known, changes))
    }

    fn new(place: Place, known: Known, changes: Changes) -> Arc<Self> {
        Arc::new(Self { place, known: ArcSwap::from_pointee(known), asked: Mutex::new(None), changes })
    }

    /// The key of this id; a token that names none is checked with the only key there is.
    pub fn find(&self, kid: Option<&str>) -> Option<PublishedKey> {
        let known = self.known.load();
        let good = known.at.is_some_and(|at| at.elapsed() < GOOD_FOR);
        known.keys.find(kid).filter(|_| good).cloned()
    }

    /// Whether it may help to ask for a key that is not known.
    pub fn can_be_asked(&self) -> bool {
        matches!(self.place, Place::Issuer(..))
    }

    /// Asks the issuer, unless that was done a moment ago. Whoever comes while a question is under way waits for its answer.
    pub async fn ask(&self) {
        let Place::Issuer(url, client) = &self.place else { return };
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < ASK_EVERY) {
            return;
        }
        *asked = Some(Instant::now());
        match tokio::time::timeout(PATIENCE, fetch(url, client)).await {
            Ok(Ok(text)) => self.take(text, "an issuer's keys"),
            Ok(Err(error)) => tracing::warn!(%url, error = format!("{error:#}"), "an issuer's keys could not be fetched"),
            Err(_) => tracing::warn!(%url, "an issuer does not answer"),
        }
    }

    /// Takes over what was read, unless it is no set of keys.
    fn take(&self, text: Vec<u8>, what: &str) {
        let known = self.known.load();
        let same = known.at.is_some() && known.text == text;
        let keys = match KeySet::parse(&text) {
            Ok(keys) => keys,
            Err(error) => return tracing::warn!(error, "{what} are not understood: the ones known before stay"),
        };
        self.known.store(Arc::new(Known { text, keys, at: Some(Instant::now()) }));
        if !same {
            self.changes.fetch_add(1, Ordering::AcqRel);
            tracing::info!("{what} have changed");
        }
    }

    /// Whether these keys are published at this address.
    pub fn is_at(&self, address: &str) -> bool {
        matches!(&self.place, Place::Issuer(url, _) if Url::parse(address).is_ok_and(|other| other == *url))
    }

    /// Asks the issuer again if its last answer is not of lately. One that has never answered is asked by those who miss a key.
    pub async fn renew(&self) {
        if self.known.load().at.is_some_and(|at| at.elapsed() > RENEW) {
            self.ask().await;
        }
    }

    /// Keeps the keys up to date for as long as it is polled.
    pub async fn keep_fresh(self: Arc<Self>) {
        match &self.place {
            Place::File(path) => loop {
                tokio::time::sleep(LOOK).await;
                let (path, known) = (path.clone(), self.known.load_full());
                match tokio::task::spawn_blocking(move || read(&path)).await {
                    Ok(Ok(text)) if text == known.text => self.confirm(&known),
                    Ok(Ok(text)) => self.take(text, "the keys in a file"),
                    Ok(Err(error)) => tracing::debug!(error = format!("{error:#}"), "a file of keys cannot be read"),
                    Err(_) => {}
                }
                self.note_expiry(&known);
            },
            Place::Issuer(..) => loop {
                let known = self.known.load_full();
                self.ask().await;
                self.note_expiry(&known);
                // Until it has answered once, it is asked as often as it may be.
                let pause = if self.known.load().at.is_some() { RENEW } else { ASK_EVERY };
                tokio::time::sleep(pause).await;
            },
        }
    }

    /// The file still says the same.
    fn confirm(&self, known: &Known) {
        // A tenth of the time that keys are good for is exact enough, and saves parsing.
        if known.at.is_none_or(|at| at.elapsed() > GOOD_FOR / 10) {
            self.take(known.text.clone(), "the keys in a file");
        }
    }

    /// What was verified with keys that are no longer good has to be verified again.
    fn note_expiry(&self, before: &Known) {
        if before.at.is_some_and(|at| at.elapsed() >= GOOD_FOR) {
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// The content of a file of keys or providers.
pub(in crate::services) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let length = std::fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?.len();
    ensure!(length <= LARGEST as u64, "{} is larger than {LARGEST} bytes", path.display());
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// The address, if secrets are safe on the way to it.
fn checked(url: &str) -> anyhow::Result<Url> {
    let url = Url::parse(url).context("it is no address")?;
    ensure!(url.username().is_empty() && url.password().is_none(), "it must not hold a password");
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => bail!("http is for addresses of this machine alone: use https"),
        other => bail!("it must begin with https://, and not with {other}:"),
    }
}

async fn fetch(url: &Url, client: &reqwest::Client) -> anyhow::Result<Vec<u8>> {
    let response =
        client.get(url.clone()).header("accept", "application/json").send().await.map_err(reqwest::Error::without_url)?;
    ensure!(response.status().is_success(), "it answers {}", response.status());
    let (mut text, mut body) = (Vec::new(), response.bytes_stream());
    while let Some(bytes) = body.next().await {
        text.extend_from_slice(&bytes.map_err(reqwest::Error::without_url)?);
        ensure!(text.len() <= LARGEST, "the answer is larger than {LARGEST} bytes");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::checked;

    #[test]
    fn http_is_for_this_machine_alone() {
        for good in ["https://id.example.com/keys", "http://127.0.0.1:9/keys", "http://[::1]/keys", "http://localhost/keys"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in
            ["http://id.example.com/keys", "http://localhost.example.com/", "file:///etc/passwd", "keys.json", "https://a:b@c/"]
        {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
