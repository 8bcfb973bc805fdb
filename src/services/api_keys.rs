//! API keys: who shows one, and how they are made, changed, rotated and deleted.
//!
//! A key is a hash and a look-up in the definitions that this instance has in memory, and the commit judges once more by the ledger's. The definitions
//! are refreshed every half second where others may change them; an instance that has not heard from the ledger for two
//! seconds accepts no key.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use crate::{
    domain::{
        api_key::{ApiKey, DIGITS, ID_LENGTH, KeySettings, SECRET_LENGTH, Secrets, ShownKey, hash, text},
        audit::Act,
        caller::{Caller, KeyUse, Permission, Principal, Scope},
        ids::{KeyId, LeaderboardId, Noun},
        time::{Clock, Timestamp},
    },
    repositories::ledger::{Ledger, LedgerError, UsedApiKey},
};

use super::{
    credentials::Standing,
    definitions::DefinitionCache,
    error::{FieldError, ServiceError},
    turns::Turns,
};

/// How often the ledger is asked about unknown keys: whoever shows one waits for the next time.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How often it is written when keys were last used.
const WRITE_USES: Duration = Duration::from_secs(10);
/// To what it is exact, in microseconds.
const USED_WITHIN: i64 = 60_000_000;
/// The longest overlap of a rotation, in seconds: 30 days.
pub const LONGEST_OVERLAP: i64 = 30 * 86_400;

/// See the module's documentation.
pub struct ApiKeys {
    ledger: Ledger,
    definitions: Arc<DefinitionCache>,
    clock: Clock,
    turns: Arc<Turns>,
    /// The minute in which each key was last used here, in microseconds since 1970, and the one that was last written. One entry for each key that
    /// exists and was used.
    uses: RwLock<HashMap<KeyId, Uses>>,
}

#[derive(Default)]
struct Uses {
    last: AtomicI64,
    written: AtomicI64,
}

/// A key that was just made, with the text that is shown only now.
pub struct NewKey {
    pub key: ApiKey,
    pub last_used_at: Option<Timestamp>,
    pub text: String,
}

/// Keys in the order of their ids.
pub struct Page {
    pub keys: Vec<UsedApiKey>,
    /// The id after which the next page begins, if there are more.
    pub next: Option<KeyId>,
}

impl ApiKeys {
    pub fn new(ledger: Ledger, definitions: Arc<DefinitionCache>, clock: Clock, turns: Arc<Turns>) -> Self {
        Self { ledger, definitions, clock, turns, uses: RwLock::default() }
    }

    /// The holder of this key; `None` if it is not known here.
    pub fn known(&self, shown: &ShownKey<'_>) -> Result<Option<Arc<Principal>>, ServiceError> {
        self.check_heard()?;
        let definitions = self.definitions.current();
        let key = definitions.key(shown.id);
        let Some(holder) = key.and_then(|key| key.holder(&shown.secret, self.clock.now())) else {
            return Ok(None);
        };
        self.note_use(shown.id);
        Ok(Some(Arc::clone(holder)))
    }

    /// The holder of a key that is not known here. It may have been made a moment ago: the ledger is asked.
    pub async fn look_up(&self, shown: &ShownKey<'_>) -> Result<Arc<Principal>, ServiceError> {
        self.definitions.refresh_at_most_every(ASK_EVERY).await?;
        self.known(shown)?.ok_or_else(|| refused("there is no such API key, or it has expired or was rotated"))
    }

    /// Refuses keys while a deletion could have gone unnoticed.
    fn check_heard(&self) -> Result<(), ServiceError> {
        if self.definitions.has_heard_from_ledger(Instant::now()) {
            return Ok(());
        }
        Err(ServiceError::LedgerAway("nobody confirms that API keys are still good".into()))
    }

    /// The holder of this key as it is by now, as far as this instance knows; `None` if it is no longer good.
    fn holder(&self, key: &KeyUse) -> Option<Arc<Principal>> {
        let definitions = self.definitions.current();
        definitions.key(key.id.as_str()).and_then(|known| known.holder(&key.secret, self.clock.now())).map(Arc::clone)
    }

    /// What is known of this key by the ledger or, while it is away, by what other instances announce.
    pub fn standing(&self, key: &KeyUse, shown: &Principal) -> Standing {
        match (self.holder(key), self.definitions.is_confirmed(Instant::now())) {
            (None, _) => Standing::Ended,
            (Some(_), false) => Standing::Unsure,
            (Some(holder), true) if holder.scopes != shown.scopes || holder.leaderboards != shown.leaderboards => {
                Standing::Changed(holder)
            }
            (Some(_), true) => Standing::Live,
        }
    }

    /// The holder of this key as the ledger knows it now.
    pub async fn present(&self, key: &KeyUse) -> Result<Arc<Principal>, ServiceError> {
        self.definitions.refresh().await?;
        self.holder(key).ok_or_else(|| refused("the API key was deleted, or has expired or was rotated"))
    }

    fn note_use(&self, id: &str) {
        let minute = self.clock.now().0 / USED_WITHIN * USED_WITHIN;
        if let Some(uses) = self.uses.read().get(id) {
            uses.last.store(minute, Ordering::Relaxed);
            return;
        }
        if let Ok(id) = KeyId::parse(id) {
            self.uses.write().entry(id).or_default().last.store(minute, Ordering::Relaxed);
        }
    }

    /// Writes when keys were last used, for as long as it is polled.
    pub async fn write_uses(self: Arc<Self>) {
        loop {
            tokio::time::sleep(WRITE_USES).await;
            let definitions = self.definitions.current();
            self.uses.write().retain(|id, _| definitions.key(id.as_str()).is_some());
            let unwritten = |(id, uses): (&KeyId, &Uses)| {
                let last = uses.last.load(Ordering::Relaxed);
                (last != uses.written.load(Ordering::Relaxed)).then(|| (id.clone(), Timestamp(last)))
            };
            let due: Vec<_> = self.uses.read().iter().filter_map(unwritten).collect();
            if due.is_empty() {
                continue;
            }
            match self.ledger.note_key_uses(due.clone()).await {
                Ok(()) => {
                    let uses = self.uses.read();
                    for (id, at) in due {
                        uses.get(&id).iter().for_each(|uses| uses.written.store(at.0, Ordering::Relaxed));
                    }
                }
                Err(error) => tracing::debug!(%error, "it could not be written when API keys were last used"),
            }
        }
    }

    /// Makes a key. Its text is in the answer alone.
    pub async fn create(&self, caller: &Caller, settings: KeySettings) -> Result<NewKey, ServiceError> {
        caller.authorize(Permission::ManageKeys)?;
        may_hand_out(caller, &settings)?;
        let now = self.clock.now();
        if settings.expires_at.is_some_and(|end| end <= now) {
            return Err(ServiceError::invalid("expiresAt", "past", "must be in the future"));
        }
        self.check_leaderboards(settings.leaderboards.as_deref().unwrap_or_default()).await?;
        let new = generate(settings, now)?;
        self.ledger.create_api_key(&new.key, Act::of(caller, now)).await?;
        self.publish().await?;
        Ok(new)
    }

    /// A key, without its secret.
    pub async fn get(&self, caller: &Caller, id: &KeyId) -> Result<UsedApiKey, ServiceError> {
        caller.authorize(Permission::ManageKeys)?;
        let _turn = self.turns.next().await?;
        let found = self.ledger.api_key(id).await?.filter(|(key, _)| key.settings.is_within(caller.bound_to()));
        found.ok_or(ServiceError::NotFound(Noun::Key))
    }

    /// Up to `limit` keys after this one. A caller that is bound to leaderboards sees the keys that are bound within them.
    pub async fn page(&self, caller: &Caller, after: Option<&KeyId>, limit: usize) -> Result<Page, ServiceError> {
        caller.authorize(Permission::ManageKeys)?;
        let _turn = self.turns.next().await?;
        let (mut keys, mut last) = (Vec::new(), after.cloned());
        loop {
            let rows = self.ledger.api_keys(last.as_ref(), limit as i64 + 1).await?;
            let exhausted = rows.len() <= limit;
            last = rows.last().map(|(key, _)| key.id.clone());
            keys.extend(rows.into_iter().filter(|(key, _)| key.settings.is_within(caller.bound_to())));
            if exhausted || keys.len() > limit {
                break;
            }
        }
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| more).map(|(key, _)| key.id.clone());
        Ok(Page { keys, next })
    }

    /// Changes what can be chosen about a key. `leaderboards` are the ones that the change names, if it names any.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &KeyId,
        leaderboards: Option<&[LeaderboardId]>,
        change: impl FnOnce(KeySettings) -> KeySettings + Send + 'static,
    ) -> Result<UsedApiKey, ServiceError> {
        caller.authorize(Permission::ManageKeys)?;
        self.get(caller, id).await?;
        self.check_leaderboards(leaderboards.unwrap_or_default()).await?;
        let (by, now) = (caller.clone(), self.clock.now());
        let changed = move |key: &ApiKey| {
            allowed(&by, &key.settings)?;
            let settings = change(key.settings.clone());
            allowed(&by, &settings)?;
            Ok((settings, key.secrets.clone()))
        };
        let used = self.ledger.change_api_key(id, Act::of(caller, now), "key.update", changed).await?;
        self.publish().await?;
        Ok(used)
    }

    /// Gives the key a new secret; the present one is good for the overlap, in seconds, or until the next rotation.
    pub async fn rotate(&self, caller: &Caller, id: &KeyId, overlap: i64) -> Result<NewKey, ServiceError> {
        caller.authorize(Permission::ManageKeys)?;
        self.get(caller, id).await?;
        let (by, now, secret) = (caller.clone(), self.clock.now(), random::<SECRET_LENGTH>()?);
        let new = hash(&secret);
        let rotated = move |key: &ApiKey| {
            allowed(&by, &key.settings)?;
            Ok((key.settings.clone(), key.secrets.clone().rotated(new, now, now.plus_seconds(overlap))))
        };
        let (key, last_used_at) = self.ledger.change_api_key(id, Act::of(caller, now), "key.rotate", rotated).await?;
        self.publish().await?;
        let whole = text(&key.id, &secret);
        Ok(NewKey { key, last_used_at, text: whole })
    }

    /// Deletes a key: it commits nothing from now on.
    pub async fn delete(&self, caller: &Caller, id: &KeyId) -> Result<(), ServiceError> {
        caller.authorize(Permission::ManageKeys)?;
        let bound = caller.bound_to().map(<[LeaderboardId]>::to_vec);
        let may = move |key: &ApiKey| {
            let within = key.settings.is_within(bound.as_deref());
            if within { Ok(()) } else { Err(LedgerError::NotFound(Noun::Key)) }
        };
        self.ledger.delete_api_key(id, Act::of(caller, self.clock.now()), may).await?;
        self.publish().await
    }

    /// Makes a change known here, and to the other instances, which would find it half a second later.
    async fn publish(&self) -> Result<(), ServiceError> {
        self.definitions.refresh().await?;
        self.definitions.announce().await;
        Ok(())
    }

    /// Refuses leaderboards that do not exist: a typing error would bind the key to nothing.
    async fn check_leaderboards(&self, ids: &[LeaderboardId]) -> Result<(), ServiceError> {
        let mut errors = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            if self.definitions.leaderboard(id.as_str()).await.is_err() {
                let message = format!("there is no leaderboard {id}");
                errors.push(FieldError::new(format!("leaderboards[{index}]"), "unknown", message));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(errors)) }
    }
}

/// A new key, which is not stored yet.
pub fn generate(settings: KeySettings, now: Timestamp) -> Result<NewKey, ServiceError> {
    let (id, secret) = (KeyId::parse(&random::<ID_LENGTH>()?), random::<SECRET_LENGTH>()?);
    let id = id.map_err(|error| ServiceError::Internal(error.to_string()))?;
    let text = text(&id, &secret);
    let key = ApiKey::new(id, settings, Secrets { present: hash(&secret), former: None }, now);
    Ok(NewKey { key, last_used_at: None, text })
}

fn refused(why: &'static str) -> ServiceError {
    ServiceError::InvalidToken(why.into())
}

/// Refuses to give somebody what the caller has not got.
fn may_hand_out(caller: &Caller, settings: &KeySettings) -> Result<(), ServiceError> {
    let lacked: Vec<_> = settings.scopes.iter().filter(|&scope| !caller.has(scope)).map(Scope::as_str).collect();
    if !lacked.is_empty() {
        return Err(ServiceError::Forbidden(format!("the caller lacks scope {}, and cannot hand it out", lacked.join(", "))));
    }
    if settings.is_within(caller.bound_to()) {
        return Ok(());
    }
    Err(ServiceError::Forbidden("a key that is bound to leaderboards makes only keys that are bound to some of these".into()))
}

/// The same inside a transaction.
fn allowed(caller: &Caller, settings: &KeySettings) -> Result<(), LedgerError> {
    may_hand_out(caller, settings).map_err(|error| LedgerError::Forbidden(error.to_string()))
}

/// So many digits of base 62 at random, each as likely as any other.
fn random<const LENGTH: usize>() -> Result<String, ServiceError> {
    // The greatest multiple of 62 in a byte: greater values would make some digits likelier.
    const FAIR: u8 = 248;
    let mut digits = String::with_capacity(LENGTH);
    while digits.len() < LENGTH {
        let mut bytes = [0; 64];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ServiceError::Internal("the system gives no random bytes".into()))?;
        let fair = bytes.into_iter().filter(|byte| *byte < FAIR).map(|byte| char::from(DIGITS[usize::from(byte) % DIGITS.len()]));
        digits.extend(fair.take(LENGTH - digits.len()));
    }
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_digits_are_of_base_62_and_differ() {
        let texts: std::collections::HashSet<_> = (0..100).map(|_| random::<SECRET_LENGTH>().unwrap()).collect();
        assert_eq!(texts.len(), 100);
        assert!(texts.iter().all(|text| text.len() == SECRET_LENGTH && text.bytes().all(|byte| DIGITS.contains(&byte))));
    }
}
