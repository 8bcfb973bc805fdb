//! Steps at which tests make this process die or fail: each between two effects that belong together.
//!
//! `SCOREBOARD_FAILPOINTS=batch-committed:abort` makes the process end there as `kill -9` would end it, `batch-committed:error` makes the step
//! fail once, `batch-committed:panic` makes its task panic, `batch-committed:stall` makes it wait for a second and go on, and
//! `batch-committed:abort@3` waits until the step is reached for the third time. Several are separated by commas. Only builds with
//! debug assertions know them: in a release build nothing is asked and nothing is there.

/// Ends this function with an error, made of a text by the function given, where tests want this step to fail; and the process where they
/// want it to die.
macro_rules! failpoint {
    ($name:literal, $error:expr) => {
        if $crate::failpoints::fails($name) {
            return Err($error($crate::failpoints::MESSAGE.to_owned().into()));
        }
    };
}
pub(crate) use failpoint;

/// What an error says that comes from here.
pub(crate) const MESSAGE: &str = "a fail point was reached";

#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn fails(_name: &str) -> bool {
    false
}

#[cfg(debug_assertions)]
pub(crate) use chosen::fails;

#[cfg(debug_assertions)]
mod chosen {
    use std::{
        sync::{
            LazyLock,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };

    const STALL: Duration = Duration::from_secs(1);

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum What {
        Error,
        Panic,
        Abort,
        Stall,
    }

    struct FailPoint {
        name: String,
        what: What,
        /// How often the step is still reached before it fails, that time included.
        left: AtomicU64,
    }

    static CHOSEN: LazyLock<Vec<FailPoint>> =
        LazyLock::new(|| std::env::var("SCOREBOARD_FAILPOINTS").map_or_else(|_| Vec::new(), |text| parse(&text)));

    /// Whether the step that has just been reached has to fail; does not return where it has to be the last one.
    pub fn fails(name: &str) -> bool {
        let Some(point) = CHOSEN.iter().find(|point| point.name == name) else { return false };
        let last = point.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)) == Ok(1);
        if last {
            tracing::warn!(name, "{}", super::MESSAGE);
            match point.what {
                What::Error => {}
                What::Panic => panic!("{}", super::MESSAGE),
                What::Abort => std::process::abort(),
                What::Stall => {
                    std::thread::sleep(STALL);
                    return false;
                }
            }
        }
        last
    }

    fn parse(text: &str) -> Vec<FailPoint> {
        let point = |text: &str| {
            let (name, what) = text.split_once(':')?;
            let (what, time) = what.split_once('@').unwrap_or((what, "1"));
            let what = match what {
                "abort" => What::Abort,
                "panic" => What::Panic,
                "stall" => What::Stall,
                _ => What::Error,
            };
            Some(FailPoint { name: name.to_owned(), what, left: AtomicU64::new(time.parse().ok()?) })
        };
        text.split(',').filter_map(|text| point(text.trim())).collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_is_chosen_is_understood() {
            let points = parse("a:abort, b:error@3,nonsense,c:panic,d:stall");
            let points: Vec<_> = points.iter().map(|one| (&*one.name, one.what, one.left.load(Ordering::Relaxed))).collect();
            assert_eq!(points, [("a", What::Abort, 1), ("b", What::Error, 3), ("c", What::Panic, 1), ("d", What::Stall, 1)]);
        }
    }
}
