//! The users' ranks after their submissions.

use crate::{
    domain::{leaderboard::Board, submission::Accepted},
    services::{
        announcer::{Announcer, Told},
        receipts::Place,
    },
};

/// The rank of each standing of each submission (`None`: not accepted, no standings), none of one that is withheld. For applied standings it is the rank when
/// the change was announced, for the others the current one. `told` has the outcomes of the applied ones, in order.
pub(super) async fn places(announcer: &Announcer, submissions: &[Option<&Accepted>], told: Vec<Told>) -> Vec<Vec<Option<Place>>> {
    let mut told = told.into_iter();
    let mut places = Vec::with_capacity(submissions.len());
    let mut unchanged: Vec<(Board, Vec<(usize, usize)>)> = Vec::new();
    for (index, accepted) in submissions.iter().enumerate() {
        let Some(accepted) = accepted else {
            places.push(Vec::new());
            continue;
        };
        let mut of_submission = Vec::with_capacity(accepted.standings.len());
        for (position, standing) in accepted.standings.iter().enumerate() {
            of_submission.push(match standing.applied {
                _ if accepted.is_withheld() => None,
                true => told.next().and_then(|told| if let Told::Applied(applied) = told { Place::of(applied) } else { None }),
                false => {
                    match unchanged.iter_mut().find(|(board, _)| *board == standing.board) {
                        Some((_, spots)) => spots.push((index, position)),
                        None => unchanged.push((standing.board, vec![(index, position)])),
                    }
                    None
                }
            });
        }
        places.push(of_submission);
    }
    for (board, spots) in unchanged {
        let users: Vec<_> = spots.iter().filter_map(|&(index, _)| submissions[index]).map(|of| of.user_id.clone()).collect();
        let Ok((head, found)) = announcer.places(board, &users).await else { continue };
        for ((index, position), neighbourhood) in spots.into_iter().zip(found) {
            places[index][position] = neighbourhood.entry.zip(head.version.clone()).map(|(entry, version)| Place {
                version,
                rank: entry.rank,
                previous_rank: Some(entry.rank),
                total: head.total,
            });
        }
    }
    places
}
