//! Hashes passwords with Argon2id, on threads of their own: few, of low priority, with a short queue. Whoever signs in takes
//! memory and time that scores need, so scores come first.

use std::{
    fmt,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    sync::{Arc, Mutex},
    thread,
};

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordVerifier, Version, password_hash::PasswordHasher};
use aws_lc_rs::rand;
use tokio::sync::oneshot;

use super::error::ServiceError;

/// What one hash costs: 19 MiB, two passes, one lane (OWASP's second choice). Where that rises, passwords are hashed anew when
/// they are next used.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes that wait for a thread. When as many wait, callers are told to come back.
const WAITING: usize = 16;
/// How much the threads give way to others.
const NICE: i32 = 15;

/// See the module's documentation.
pub struct Passwords {
    /// Holds at most [`WAITING`]; when full, callers get a 503. Its threads end with it.
    queue: SyncSender<Task>,
    /// Of a password that nobody knows: for logins that nobody has.
    dummy: Arc<str>,
}

type Task = Box<dyn FnOnce(&Argon2<'static>) + Send>;

/// What was found out about a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Verified {
    /// It is another one, or there is none.
    Wrong,
    Right {
        /// Its hash by today's parameters, if the stored one is by others.
        rehashed: Option<String>,
    },
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Wrong { "Wrong" } else { "Right" })
    }
}

impl Passwords {
    /// Starts the threads: one for every two processors.
    pub fn start() -> anyhow::Result<Self> {
        let (queue, tasks) = sync_channel::<Task>(WAITING);
        let tasks = Arc::new(Mutex::new(tasks));
        let processors = thread::available_parallelism().map_or(1, usize::from);
        for number in 0..(processors / 2).max(1) {
            let tasks = Arc::clone(&tasks);
            thread::Builder::new().name(format!("passwords {number}")).spawn(move || work(&tasks))?;
        }
        let mut unknown = [0; 32];
        rand::fill(&mut unknown)?;
        let dummy = hash(&argon2(), &unknown).map_err(anyhow::Error::msg)?;
        Ok(Self { queue, dummy: dummy.into() })
    }

    /// The hash of a password, in the PHC format.
    pub async fn hash(&self, password: &[u8]) -> Result<String, ServiceError> {
        let password = password.to_vec();
        self.run(move |argon2| hash(argon2, &password)).await?.map_err(ServiceError::Internal)
    }

    /// Compares a password with a stored hash. Without one it takes as long, and is wrong.
    pub async fn verify(&self, password: &[u8], stored: Option<&str>) -> Result<Verified, ServiceError> {
        let (password, exists) = (password.to_vec(), stored.is_some());
        let stored: Arc<str> = stored.map_or_else(|| Arc::clone(&self.dummy), Arc::from);
        self.run(move |argon2| {
            let known = PasswordHash::new(&stored).map_err(|error| error.to_string())?;
            if argon2.verify_password(&password, &known).is_err() || !exists {
                return Ok(Verified::Wrong);
            }
            let today =
                Params::try_from(&known).is_ok_and(|params| is_of_today(&params)) && known.algorithm.as_str() == "argon2id";
            Ok(Verified::Right { rehashed: if today { None } else { Some(hash(argon2, &password)?) } })
        })
        .await?
        .map_err(ServiceError::Internal)
    }

    async fn run<T: Send + 'static>(&self, task: impl FnOnce(&Argon2<'static>) -> T + Send + 'static) -> Result<T, ServiceError> {
        let (answer, answered) = oneshot::channel();
        let task: Task = Box::new(move |argon2| {
            // Whoever went away meanwhile needs no answer.
            if !answer.is_closed() {
                let _ = answer.send(task(argon2));
            }
        });
        self.queue.try_send(task).map_err(|error| match error {
            TrySendError::Full(_) => {
                metrics::counter!("scoreboard_passwords_refused_total").increment(1);
                ServiceError::Overloaded
            }
            TrySendError::Disconnected(_) => ServiceError::Internal("the password threads have ended".into()),
        })?;
        answered.await.map_err(|_| ServiceError::Internal("a password could not be hashed".into()))
    }
}

fn work(tasks: &Mutex<Receiver<Task>>) {
    // Where it is refused, the threads compete like all others.
    let _ = rustix::process::setpriority_process(None, NICE);
    let argon2 = argon2();
    loop {
        let next = tasks.lock().map(|tasks| tasks.recv());
        let Ok(Ok(task)) = next else { return };
        // One that panics leaves its caller without an answer, and the thread to the next one.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task(&argon2)));
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("they are within Argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn is_of_today(params: &Params) -> bool {
    params.m_cost() >= MEMORY_KIB && params.t_cost() >= PASSES && params.p_cost() == LANES
}

fn hash(argon2: &Argon2<'_>, password: &[u8]) -> Result<String, String> {
    let mut salt = [0; 16];
    rand::fill(&mut salt).map_err(|error| error.to_string())?;
    let hash: Result<PasswordHash, _> = argon2.hash_password_with_salt(password, &salt);
    hash.map(|hash| hash.to_string()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_hashed_anew_when_parameters_rise() {
        let passwords = Passwords::start().unwrap();
        let stored = passwords.hash(b"correct horse").await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, passwords.hash(b"correct horse").await.unwrap(), "each has a salt of its own");
        assert_eq!(passwords.verify(b"correct horse", Some(&stored)).await.unwrap(), Verified::Right { rehashed: None });
        assert_eq!(passwords.verify(b"wrong horse", Some(&stored)).await.unwrap(), Verified::Wrong);
        assert_eq!(passwords.verify(b"correct horse", None).await.unwrap(), Verified::Wrong);
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8 * 1024, 1, 1, None).unwrap());
        let weak = hash(&weak, b"correct horse").unwrap();
        let Verified::Right { rehashed: Some(rehashed) } = passwords.verify(b"correct horse", Some(&weak)).await.unwrap() else {
            panic!("a hash by weaker parameters is replaced")
        };
        assert!(rehashed.contains("m=19456,t=2"), "{rehashed}");
    }

    #[tokio::test]
    async fn more_than_the_queue_holds_is_refused_at_once() {
        let passwords = Arc::new(Passwords::start().unwrap());
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let at_work = (processors / 2).max(1);
        let hashes = (0..WAITING + at_work + 10).map(|_| passwords.hash(b"correct horse"));
        let results = futures_util::future::join_all(hashes).await;
        let refused = results.iter().filter(|result| matches!(result, Err(ServiceError::Overloaded))).count();
        assert!((10..=10 + at_work).contains(&refused), "{refused} of {}", results.len());
        assert!(passwords.hash(b"correct horse").await.is_ok(), "and then there is room again");
    }
}
