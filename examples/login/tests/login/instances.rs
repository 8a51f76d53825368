//! Several instances with one store, and restarts.

use std::{collections::HashSet, thread};

use tower_auth_test_support::redis::RedisServer;

use crate::service::{Service, Tokens, accounts};

#[test]
fn users_stay_logged_in_after_a_restart() {
    let Some(redis) = RedisServer::redis(&[]) else { return };
    let (_folder, file) = accounts();
    let options = ["--store", &redis.url()];
    let service = Service::start(&file, &options);
    let ended = service.log_in();
    service.log_out(&ended.refresh);
    let kept = service.log_in();
    drop(service);

    let service = Service::start(&file, &options);
    assert_eq!(service.me(&kept.access).status, 200);
    service.refresh(&kept.refresh);
    assert_eq!(service.me(&ended.access).status, 401);
    service.assert_refresh_is_rejected(&ended.refresh);
}

#[test]
fn instances_that_start_at_the_same_time_share_accounts_and_keys() {
    let Some(redis) = RedisServer::redis(&[]) else { return };
    let (_folder, file) = accounts();
    let programs = [(); 6].map(|()| Service::program(&file, &["--store", &redis.url()]));
    let instances = programs.map(Service::from);
    let logins: Vec<_> = thread::scope(|scope| {
        let log_in = |instance| scope.spawn(move || Service::log_in(instance));
        let threads: Vec<_> = instances.iter().map(log_in).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for instance in &instances {
        for login in &logins {
            assert_eq!(instance.me(&login.access).status, 200);
        }
    }
}

#[test]
fn logout_in_one_instance_takes_effect_in_the_other() {
    let Some(redis) = RedisServer::redis(&[]) else { return };
    let (_folder, file) = accounts();
    let [one, two] = [(); 2].map(|()| Service::start(&file, &["--store", &redis.url()]));
    let login = one.log_in();
    assert_eq!(two.me(&login.access).status, 200);
    let next = two.refresh(&login.refresh);
    two.log_out(&next.refresh);
    assert_eq!(one.me(&login.access).status, 401);
    one.assert_refresh_is_rejected(&next.refresh);

    let login = two.log_in();
    assert_eq!(one.post_with_token("/logout/all", &login.access).status, 200);
    assert_eq!(two.me(&login.access).status, 401);
    two.assert_refresh_is_rejected(&login.refresh);
}

#[test]
fn parallel_refreshes_in_two_processes_have_one_successor() {
    let Some(redis) = RedisServer::redis(&[]) else { return };
    let (_folder, file) = accounts();
    let instances = [(); 2].map(|()| Service::start(&file, &["--store", &redis.url()]));
    let mut current = instances[0].log_in();
    let refreshed: Vec<Tokens> = thread::scope(|scope| {
        let threads: Vec<_> = (0..64)
            .map(|index| {
                let (instance, token) = (&instances[index % 2], &current.refresh);
                scope.spawn(move || instance.refresh(token))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let successors: HashSet<_> = refreshed.iter().map(|tokens| &tokens.refresh).collect();
    assert_eq!(successors.len(), 1);
    for tokens in &refreshed {
        assert_eq!(instances[0].me(&tokens.access).status, 200);
    }
    current.refresh = refreshed[0].refresh.clone();
    instances[1].refresh(&current.refresh);
}

#[test]
fn wrong_passwords_count_in_all_instances() {
    let Some(redis) = RedisServer::redis(&[]) else { return };
    let (_folder, file) = accounts();
    let instances = [(); 2].map(|()| Service::start(&file, &["--store", &redis.url()]));
    // Twenty, because the window of the limit may end in between.
    let status = |service: &Service| service.try_to_log_in("alice", "guess").status;
    assert!((0..20).any(|_| status(&instances[0]) == 429));
    assert_eq!(status(&instances[1]), 429);
}

#[test]
fn outage_of_the_store_returns_503_and_keeps_the_login() {
    let Some(mut redis) = RedisServer::redis(&["--appendonly", "yes", "--appendfsync", "always"])
    else {
        return;
    };
    let (_folder, file) = accounts();
    let service = Service::start(&file, &["--store", &redis.url()]);
    let login = service.log_in();
    redis.kill();
    for response in [
        service.try_to_refresh(&login.refresh),
        service.me(&login.access),
        service.try_to_log_in("alice", "correct horse"),
        service.post_with_token("/logout/all", &login.access),
    ] {
        assert_eq!(response.status, 503, "{response:?}");
        assert!(response.header("retry-after").parse::<u32>().unwrap() > 0);
    }
    redis.start_again();
    let restored = (0..1_000).find_map(|_| {
        let response = service.try_to_refresh(&login.refresh);
        assert!([200, 503].contains(&response.status), "{response:?}");
        (response.status == 200).then(|| crate::service::tokens(&response))
    });
    assert_eq!(service.me(&restored.unwrap().access).status, 200);
}
