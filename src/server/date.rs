//! The `Date` header of answers that hyper does not write.

use std::{cell::RefCell, time::SystemTime};

use hyper::http::HeaderValue;

thread_local! {
    /// The second since 1970 for which the value was formatted.
    static NEWEST: RefCell<(i64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// The time in HTTP's format, formatted once a second.
pub(super) fn now() -> HeaderValue {
    let now = chrono::DateTime::<chrono::Utc>::from(SystemTime::now());
    NEWEST.with_borrow_mut(|(second, value)| {
        if *second != now.timestamp() {
            let text = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            (*second, *value) = (now.timestamp(), HeaderValue::try_from(text).expect("letters, digits and marks"));
        }
        value.clone()
    })
}
