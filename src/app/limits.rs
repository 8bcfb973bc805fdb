//! The limits of connections and streams, in all and per address: from the settings, within the limit of open files.

use crate::{
    config::{Settings, http::HttpSettings, streams::StreamSettings},
    server::Room,
    services::streams::admission::Caps,
};

/// Files reserved for the stores, the log and the like.
const RESERVED_FILES: usize = 256;
/// The most connections reserved from the streams; a tenth if there are few.
const MOST_KEPT_BACK: usize = 512;
/// The least that one address or token leaves to the others if there is enough; a third if there is little, a twentieth if
/// there is much.
const LEFT_TO_OTHERS: usize = 256;

/// See the module's documentation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub room: Room,
    pub caps: Caps,
}

impl Limits {
    /// From the settings and the limit of open files of this process.
    pub fn of(settings: &Settings) -> Self {
        Self::within(open_files(), &settings.http, &settings.streams)
    }

    fn within(files: usize, http: &HttpSettings, streams: &StreamSettings) -> Self {
        let possible = files.saturating_sub(RESERVED_FILES).clamp(64, 1 << 20);
        let connections = http.max_connections.map_or(possible, |most| most.min(possible));
        // Requests and health checks have a reserved share of the connections, however many watch; so does each address that
        // watches.
        let kept_back = (connections / 10).min(MOST_KEPT_BACK);
        let in_all = (connections - kept_back).max(1);
        let per_address = streams.streams_per_ip.min(share(in_all));
        let per_token = streams.streams_per_token.min(share(in_all));
        let of_address = http.connections_per_ip.unwrap_or_else(|| (connections / 2).max(per_address + kept_back));
        Self {
            room: Room { in_all: connections, per_address: of_address.min(share(connections)).max(1) },
            caps: Caps { in_all, per_address, per_token },
        }
    }
}

/// The most that one address or token may have of this number.
fn share(of: usize) -> usize {
    of - (of / 20).max(LEFT_TO_OTHERS.min(of / 3))
}

/// How many files this process may have open.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = limits.lines().find(|line| line.starts_with("Max open files"));
    limit.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(files: usize, flags: &[&str]) -> Limits {
        let settings = Settings::from_flags(flags.iter().copied()).unwrap();
        Limits::within(files, &settings.http, &settings.streams)
    }

    #[test]
    fn one_address_never_has_everything() {
        for files in [0, 300, 1024, 4096, 20_000, 65_536, 1 << 20] {
            let all = ["--streams-per-ip=1000000", "--streams-per-token=1000000", "--connections-per-ip=1000000"];
            for flags in [&[][..], &all] {
                let Limits { room, caps } = limits(files, flags);
                assert!(room.per_address < room.in_all && caps.per_address < caps.in_all, "{files}: {room:?} {caps:?}");
                assert!(caps.per_token < caps.in_all, "{files}: {caps:?}");
                assert!(
                    caps.per_address < room.per_address,
                    "{files}: its streams leave its requests a place: {room:?} {caps:?}"
                );
                assert!(caps.in_all < room.in_all, "{files}: streams leave requests a place: {room:?} {caps:?}");
            }
        }
    }

    #[test]
    fn few_files_are_shared_and_many_are_mostly_open_to_one_address() {
        let Limits { room, caps } = limits(1024, &[]);
        assert_eq!((room.in_all, room.per_address, caps.in_all, caps.per_address), (768, 512, 692, 462));
        // As in the benchmarks.
        let Limits { room, caps } = limits(20_000, &["--streams-per-ip=20000"]);
        assert!(caps.per_address > 18_000 && room.per_address > 18_500, "{room:?} {caps:?}");
        assert_eq!(limits(20_000, &[]).caps.per_address, 10_000);
        assert_eq!(limits(20_000, &["--connections-per-ip=100"]).room.per_address, 100);
        assert_eq!(limits(1024, &["--max-connections=100"]).room.in_all, 100);
        assert_eq!(limits(1024, &["--max-connections=100000"]).room.in_all, 768, "there are no more files");
    }
}
