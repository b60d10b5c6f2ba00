//! Nothing is said before it is on the disk, and a disk that fails is never trusted again.

use std::time::{Duration, Instant};

use reqwest::Method;

use crate::harness::{Cluster, Setup, until};

const DELAY: &str = "STARLING_TEST_FSYNC_DELAY_MS";
const FAIL_AFTER: &str = "STARLING_TEST_FSYNC_FAIL_AFTER";

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_comes_before_the_flush() {
    for count in [1, 3] {
        let delay = Duration::from_millis(700);
        let setup = Setup {
            environment: vec![(DELAY, delay.as_millis().to_string())],
            ..Setup::default()
        };
        let cluster = Cluster::start_with(count, setup).await;
        let started = Instant::now();
        cluster.api(0).append("slow", None).await.expect("appended");
        assert!(
            started.elapsed() >= delay,
            "{:?} with {count} nodes",
            started.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slow_disk_slows_nobody_else() {
    let mut cluster = Cluster::start(3).await;
    cluster.stop(2).await;
    cluster.set(2, DELAY, "2000");
    cluster.restart(2).await;
    for number in 0..30 {
        let started = Instant::now();
        let text = format!("number {number}");
        cluster
            .api(number % 2)
            .append(&text, None)
            .await
            .expect("appended");
        assert!(
            started.elapsed() < Duration::from_millis(1500),
            "{:?}",
            started.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_flush_ends_the_writing_and_not_the_reading() {
    let mut cluster = Cluster::start(3).await;
    let place = cluster
        .api(0)
        .append("before", None)
        .await
        .expect("appended");
    cluster.until_heads_equal().await;
    cluster.stop(0).await;
    cluster.set(0, FAIL_AFTER, "12");
    cluster.restart(0).await;
    let broken = cluster.api(0);
    let refused = until("the flush fails", async || {
        let answer = broken.append_raw("x", None).await.expect("an answer");
        (answer.status == 507).then_some(answer)
    })
    .await;
    assert!(!refused.code().is_empty());
    for number in 0..20 {
        let text = format!("after {number}");
        cluster
            .api(1 + number % 2)
            .append(&text, None)
            .await
            .expect("the others take writes");
    }
    let record = format!("/records/{}/{}", place.height, place.index);
    let answer = broken.send(broken.request(Method::GET, &record)).await;
    assert_eq!(answer.expect(200, "").bytes, b"before");

    cluster.kill(0);
    cluster.set(0, FAIL_AFTER, "1000000");
    cluster.restart(0).await;
    cluster.until_heads_equal().await;
    let healed = cluster.api(0);
    until("it takes writes again", async || {
        healed.append("healed", None).await.ok()
    })
    .await;
}
