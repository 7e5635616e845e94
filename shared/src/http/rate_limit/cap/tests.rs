//! Tests of the cap on what an address has.

use super::*;
use std::convert::Infallible;

const NOW: Time = Time(1_800_000_000_000);

fn cap(max: usize) -> Cap<2> {
    Cap::new(max, Secret::derive(b"secret", "addresses"))
}

fn holder(address: &str, id: u16) -> Holder<'static, 2> {
    Holder {
        scope: "arena",
        address: address.parse().unwrap(),
        id: id.to_be_bytes(),
    }
}

/// Takes one where all that was taken before and is in `ended` has ended.
async fn take(cap: &Cap<2>, holder: Holder<'_, 2>, now: Time, ended: &[u16]) -> bool {
    let living = async |ids: Vec<[u8; 2]>| {
        let lives = |id: &[u8; 2]| !ended.contains(&u16::from_be_bytes(*id));
        Ok::<_, Infallible>(ids.into_iter().filter(lives).collect())
    };
    cap.take(holder, now, living).await.unwrap()
}

async fn count(cap: &Cap<2>, of: impl Fn(u16) -> String, most: u16) -> u16 {
    let mut given = 0;
    for id in 0..most {
        given += u16::from(take(cap, holder(&of(id), id), NOW, &[]).await);
    }
    given
}

#[tokio::test]
async fn an_address_has_so_many_at_one_time_and_its_networks_have_more() {
    assert_eq!(count(&cap(5), |_| "192.0.2.7".into(), 20).await, 5);
    assert_eq!(count(&cap(5), |id| format!("192.0.2.{id}"), 200).await, 80);
    assert_eq!(
        count(&cap(5), |id| format!("2001:db8::{id:x}"), 20).await,
        5
    );
    let of_56 = |id: u16| format!("2001:db8:1:{:x}::1", 0x200 + id);
    assert_eq!(count(&cap(5), of_56, 200).await, 20);
    let of_48 = |id: u16| format!("2001:db8:1:{:x}::1", id << 8);
    assert_eq!(count(&cap(5), of_48, 200).await, 80);
    assert_eq!(count(&cap(0), |_| "192.0.2.7".into(), 200).await, 200);
}

#[tokio::test]
async fn what_has_ended_leaves_room_and_what_is_asked_for_again_takes_none() {
    let cap = cap(3);
    assert_eq!(count(&cap, |_| "192.0.2.7".into(), 3).await, 3);
    let again = holder("192.0.2.7", 2);
    assert!(take(&cap, again, NOW, &[]).await, "it has one already");
    let new = holder("192.0.2.7", 9);
    assert!(
        !take(&cap, new, NOW, &[0]).await,
        "the request may still be under way"
    );
    let later = Time(NOW.0 + UNDER_WAY_MS);
    assert!(!take(&cap, new, later, &[]).await);
    assert!(take(&cap, new, later, &[0]).await);
    assert!(!take(&cap, holder("192.0.2.7", 10), later, &[0]).await);
    let much_later = Time(NOW.0 + KEPT_MS + UNDER_WAY_MS);
    assert!(take(&cap, holder("192.0.2.7", 10), much_later, &[]).await);
}

#[tokio::test]
async fn events_have_caps_of_their_own() {
    let cap = cap(1);
    let of = |scope| Holder {
        scope,
        ..holder("192.0.2.7", 1)
    };
    let other = |scope| Holder {
        id: [7, 7],
        ..of(scope)
    };
    assert!(take(&cap, of("a"), NOW, &[]).await && take(&cap, of("b"), NOW, &[]).await);
    assert!(!take(&cap, other("a"), NOW, &[]).await);
}

#[tokio::test]
async fn a_refusal_asks_what_lives_and_only_a_refusal_does() {
    let cap = cap(2);
    let never = async |_| Err("asked");
    for id in 0..2 {
        let taken = cap.take(holder("192.0.2.7", id), NOW, never).await;
        assert_eq!(taken, Ok(true));
    }
    let full = cap.take(holder("192.0.2.7", 2), NOW, never).await;
    assert_eq!(full, Err("asked"));
}

/// A list for each number, in memory.
#[derive(Default)]
pub(crate) struct Lists {
    by_number: Mutex<HashMap<u64, Vec<Vec<u8>>>>,
    calls: Mutex<usize>,
}

#[async_trait]
impl SharedLists for Lists {
    async fn change(&self, change: &ListChange) -> Option<Vec<ListMember>> {
        *self.calls.lock() += 1;
        let mut lists = self.by_number.lock();
        let list = lists.entry(change.list).or_default();
        list.retain(|member| !change.removed.contains(member) && !change.added.contains(member));
        list.extend(change.added.clone());
        let members = list.iter().map(|member| ListMember {
            member: member.clone(),
            age_ms: 60_000,
        });
        Some(members.collect())
    }
}

fn nodes(lists: &Arc<Lists>, max: usize) -> [Cap<2>; 2] {
    [(); 2].map(|()| {
        let node = cap(max);
        node.share(lists.clone());
        node
    })
}

#[tokio::test]
async fn nodes_with_one_store_have_one_cap() {
    let lists = Arc::new(Lists::default());
    let nodes = nodes(&lists, 20);
    let mut given = 0;
    for id in 0..60 {
        let node = &nodes[usize::from(id % 2)];
        given += u16::from(take(node, holder("192.0.2.7", id), NOW, &[]).await);
    }
    assert_eq!(given, 20);
    let later = Time(NOW.0 + UNDER_WAY_MS);
    // Given out by the first node, and told to be over at the second.
    assert!(take(&nodes[1], holder("192.0.2.7", 70), later, &[0]).await);
    assert!(!take(&nodes[0], holder("192.0.2.7", 71), later, &[]).await);
}

#[tokio::test]
async fn a_node_that_dies_leaves_no_count_that_stays() {
    let lists = Arc::new(Lists::default());
    let [dead, _] = nodes(&lists, 20);
    assert_eq!(count(&dead, |_| "192.0.2.7".into(), 20).await, 20);
    drop(dead);
    let [node, _] = nodes(&lists, 20);
    let all: Vec<u16> = (0..20).collect();
    // It does not know of the first few, and asks about the others once they fill the cap.
    let later = Time(NOW.0 + UNDER_WAY_MS);
    let mut given = 0;
    for id in 100..130 {
        given += u16::from(take(&node, holder("192.0.2.7", id), later, &all).await);
    }
    assert_eq!(given, 20);
}

#[tokio::test]
async fn fans_who_come_one_by_one_cost_the_store_nothing() {
    let lists = Arc::new(Lists::default());
    let [node, _] = nodes(&lists, 20);
    for id in 0..5 {
        assert!(take(&node, holder("192.0.2.7", id), NOW, &[]).await);
    }
    assert_eq!(*lists.calls.lock(), 0);
}

#[tokio::test]
async fn while_the_store_is_away_each_node_counts_for_itself() {
    struct Away;
    #[async_trait]
    impl SharedLists for Away {
        async fn change(&self, _: &ListChange) -> Option<Vec<ListMember>> {
            None
        }
    }
    let node = cap(20);
    node.share(Arc::new(Away));
    assert_eq!(count(&node, |_| "192.0.2.7".into(), 60).await, 20);
}
