//! Accounts: who they are to others, and what is forgotten.

use scoreboard::{
    domain::{
        account::{Holder, Identity, Link, LinkPurpose, Login, NewAccount, NewSession, Roles},
        audit::Act,
        ids::Noun,
        sign_in::Keys,
    },
    repositories::ledger::{SignIn, TokenUse},
};

use super::*;

on_both_engines![
    an_identity_belongs_to_one_account,
    sessions_end_in_the_order_of_the_commits,
    a_score_of_an_ended_session_is_refused,
    what_has_expired_is_deleted,
    a_repeated_message_makes_no_link_good_again,
    an_ended_session_changes_nothing_of_its_account,
    no_link_keeps_the_login_of_a_deleted_account,
];

/// What is counted of whoever signs up or chooses a password.
const NOBODY: Keys = [[0; 32], [1; 32], [2; 32]];

const DEVICE: [u8; 32] = [9; 32];

/// An account that signs in by a device.
fn device() -> NewAccount {
    NewAccount { device: Some(DEVICE), ..NewAccount::player(NOW) }
}

fn session(at: Timestamp) -> NewSession {
    NewSession { id: Uuid::new_v4(), token_hash: [7; 32], user_agent: None, at }
}

fn identity(subject: &str) -> Identity {
    Identity { issuer: "https://id.example.com".into(), subject: subject.into() }
}

fn shown(session: &NewSession) -> TokenUse {
    TokenUse { session: session.id, generation: 0, token_hash: session.token_hash, successor_hash: [8; 32] }
}

async fn an_identity_belongs_to_one_account(database: Database) {
    let ledger = database.ledger().await;
    let by = async |subject: &str| {
        ledger.sign_in_by_identity(&identity(subject), &NewAccount::player(NOW), &session(NOW), Act::from(NOW)).await.unwrap()
    };
    let (ann, opened, is_new) = by("ann").await;
    assert!(is_new);
    let (again, _, is_new) = by("ann").await;
    assert_eq!((&again, is_new), (&ann, false));
    let (bob, _, _) = by("bob").await;
    assert_ne!(bob.id, ann.id);
    assert_eq!(ledger.account_by_identity(&identity("bob")).await.unwrap(), Some(bob.clone()));
    let held = Holder { account: ann.id.clone(), session: opened.id };
    let link = async |subject: &str| ledger.link_identity(&held, &identity(subject), Act::from(NOW)).await;
    assert_eq!(link("bob").await, Err(LedgerError::Taken));
    assert_eq!(link("ann").await, Ok(ann.clone()), "it is that already");
    assert_eq!(link("ann-elsewhere").await, Ok(ann.clone()));
    ledger.delete_account(&ann.id, Act::from(NOW)).await.unwrap();
    assert_eq!(ledger.account_by_identity(&identity("ann-elsewhere")).await.unwrap(), None);
    let racing = (0..6).map(|_| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            let new = NewAccount::player(NOW);
            ledger.sign_in_by_identity(&identity("cid"), &new, &session(NOW), Act::from(NOW)).await
        })
    });
    let racing = futures_util::future::join_all(racing).await.into_iter().map(Result::unwrap);
    let made: std::collections::BTreeSet<_> = racing.filter_map(Result::ok).map(|(account, ..)| account.id).collect();
    assert_eq!(made.len(), 1, "whoever comes second is told so, or gets the same account");
}

async fn sessions_end_in_the_order_of_the_commits(database: Database) {
    let ledger = database.ledger().await;
    let account = device();
    let first = session(NOW);
    ledger.sign_up(&account, None, NOBODY, &first, Act::from(NOW)).await.unwrap();
    let mut sessions = vec![first];
    for _ in 0..20 {
        let more = session(NOW);
        ledger.sign_in_by_device(DEVICE, &more).await.unwrap();
        sessions.push(more);
    }
    let ending = sessions.iter().cloned().map(|session| {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.sign_out(&shown(&session), false, NOW).await.unwrap() })
    });
    let ending: Vec<_> = ending.collect();
    // Whoever reads on after the last one that was there misses none.
    let (mut read, mut found) = (0, Vec::new());
    while found.len() < sessions.len() {
        for (seq, id, _) in ledger.ended_sessions(read).await.unwrap() {
            assert!(seq > read);
            read = seq;
            found.push(id);
        }
    }
    futures_util::future::join_all(ending).await;
    found.sort_unstable();
    let mut expected: Vec<_> = sessions.iter().map(|session| session.id).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(ledger.ended_sessions(read).await.unwrap(), []);
}

async fn a_score_of_an_ended_session_is_refused(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let (account, first, second) = (device(), session(NOW), session(NOW));
    ledger.sign_up(&account, None, NOBODY, &first, Act::from(NOW)).await.unwrap();
    ledger.sign_in_by_device(DEVICE, &second).await.unwrap();
    let by = |session: &NewSession| Submission {
        subject: account.id.as_str().into(),
        credential: Credential::Session(session.id),
        ..goal(account.id.as_str(), 1)
    };
    ledger.sign_out(&shown(&first), false, NOW).await.unwrap();
    let batch = [by(&first), goal("ann", 1), by(&second)];
    let committed = commit(&ledger, &batch, &Clock::system()).await.unwrap();
    assert!(matches!(&committed.outcomes[0], Settled::Refused(Refusal::SessionEnded)), "{committed:?}");
    assert!(committed.outcomes[1..].iter().all(|outcome| outcome.accepted().is_some()), "{committed:?}");
    let rename = async |session: &NewSession| {
        ledger.change_user(&account.id, Act::from(NOW), Some(session.id), "user.update", Clone::clone).await.map(drop)
    };
    assert_eq!((rename(&first).await, rename(&second).await), (Err(LedgerError::SessionEnded), Ok(())));
}

async fn what_has_expired_is_deleted(database: Database) {
    let ledger = database.ledger().await;
    let account = device();
    let [old, ended] = [session(NOW), session(NOW)];
    ledger.sign_up(&account, None, NOBODY, &old, Act::from(NOW)).await.unwrap();
    ledger.sign_in_by_device(DEVICE, &ended).await.unwrap();
    assert!(ledger.end_session(&account.id, ended.id, NOW).await.unwrap());
    let keys: Keys = [[1; 32], [2; 32], [3; 32]];
    for _ in 0..5 {
        assert_eq!(ledger.sign_in_failed(keys, NOW).await.unwrap(), None);
    }
    assert_eq!(ledger.sign_in_wait(keys, NOW).await.unwrap(), Some(NOW.plus_seconds(60)));
    assert_eq!(ledger.sign_in_failed(keys, NOW).await.unwrap(), Some(NOW.plus_seconds(60)), "which is not counted");
    assert_eq!(ledger.prune_accounts(NOW, NOW, 10).await.unwrap(), 0);
    let later = NOW.plus_seconds(3_601);
    assert_eq!(ledger.prune_accounts(later, later, 10).await.unwrap(), 1, "the session that was ended");
    let later = NOW.plus_seconds(31 * 86_400);
    assert_eq!(ledger.prune_accounts(later, NOW, 1).await.unwrap(), 2, "no more than asked for at once");
    assert_eq!(ledger.prune_accounts(later, NOW, 10).await.unwrap(), 2);
    assert_eq!(ledger.sessions(&account.id, NOW).await.unwrap(), []);
    assert_eq!(ledger.sign_in_wait(keys, NOW).await.unwrap(), None);
}

/// Its receiver took it and did not say so, so it is sent again when the link was used.
async fn a_repeated_message_makes_no_link_good_again(database: Database) {
    let ledger = database.ledger().await;
    let account = NewAccount { login: Some(Login::parse("ann").unwrap()), ..NewAccount::player(NOW) };
    ledger.sign_up(&account, None, NOBODY, &session(NOW), Act::from(NOW)).await.unwrap();
    let link = |token: u8, at: Timestamp| Link {
        token_hash: [token; 32],
        purpose: LinkPurpose::Reset(account.id.clone()),
        expires_at: at.plus_seconds(600),
    };
    let send = async |token: u8, at: Timestamp| ledger.send_link(&link(token, at), &account.id, at).await.unwrap();
    let reset = async |token: u8, at: Timestamp| ledger.reset_password([token; 32], "a hash", NOBODY, at, None).await;
    assert_eq!(send(1, NOW).await, account.login);
    assert_eq!(send(2, NOW).await, account.login);
    assert_eq!(send(3, NOW).await, account.login);
    assert_eq!(reset(2, NOW.plus_seconds(601)).await, Err(LedgerError::LinkInvalid), "it has expired");
    let later = NOW.plus_seconds(900);
    assert_eq!(send(1, later).await, account.login, "and is good again if nobody has used it");
    assert_eq!(reset(1, later.plus_seconds(599)).await.map(|ended| ended.len()), Ok(1));
    for token in [1, 2, 3] {
        assert_eq!(reset(token, later.plus_seconds(599)).await, Err(LedgerError::LinkInvalid));
        let again = NOW.plus_seconds(1_600);
        ledger.prune_accounts(again, again, 100).await.unwrap();
        assert_eq!(send(token, again).await, None);
        assert_eq!(reset(token, again).await, Err(LedgerError::LinkInvalid), "{token}");
    }
}

async fn an_ended_session_changes_nothing_of_its_account(database: Database) {
    let ledger = database.ledger().await;
    let (account, first, second) = (device(), session(NOW), session(NOW));
    ledger.sign_up(&account, None, NOBODY, &first, Act::from(NOW)).await.unwrap();
    ledger.sign_in_by_device(DEVICE, &second).await.unwrap();
    ledger.sign_out(&shown(&first), false, NOW).await.unwrap();
    let by = |session: &NewSession| Holder { account: account.id.clone(), session: session.id };
    let login = Login::parse("ann").unwrap();
    let link = async |session: &NewSession| ledger.link_login(&by(session), &login, "a hash", Act::from(NOW)).await.map(drop);
    assert_eq!((link(&first).await, link(&second).await), (Err(LedgerError::SessionEnded), Ok(())));
    let identify =
        async |session: &NewSession| ledger.link_identity(&by(session), &identity("ann"), Act::from(NOW)).await.map(drop);
    assert_eq!((identify(&first).await, identify(&second).await), (Err(LedgerError::SessionEnded), Ok(())));
    let attempt = SignIn { account: account.id.clone(), keys: NOBODY, verified: "a hash".into(), rehashed: None };
    let change =
        async |session: &NewSession| ledger.change_password(&attempt, "another hash", session.id, Act::from(NOW)).await.map(drop);
    assert_eq!((change(&first).await, change(&second).await), (Err(LedgerError::SessionEnded), Ok(())));
    assert_eq!(ledger.sign_in_by_device(DEVICE, &session(NOW)).await.unwrap_err(), LedgerError::NotFound(Noun::Account));
}

async fn no_link_keeps_the_login_of_a_deleted_account(database: Database) {
    let ledger = database.ledger().await;
    let login = Login::parse("ann").unwrap();
    let invite = async |token: u8| {
        let purpose = LinkPurpose::Invite { login: Some(login.clone()), roles: Roles::player() };
        let link = Link { token_hash: [token; 32], purpose, expires_at: NOW.plus_seconds(600) };
        ledger.give_link(&link, None, Act::from(NOW)).await.unwrap();
    };
    invite(1).await;
    invite(2).await;
    let account = NewAccount { login: Some(login.clone()), ..NewAccount::player(NOW) };
    ledger.sign_up(&account, Some([1; 32]), NOBODY, &session(NOW), Act::from(NOW)).await.unwrap();
    assert!(ledger.link([2; 32], NOW).await.unwrap().is_some());
    ledger.delete_account(&account.id, Act::from(NOW)).await.unwrap();
    assert_eq!(ledger.link([2; 32], NOW).await.unwrap(), None);
}
