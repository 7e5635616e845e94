//! Lists of seats.

use super::*;

fn priced(list: &str) -> String {
    let list = Value::from(list);
    format!(r#"{{"plan": {list}, "prices": {{"A": 1200, "B": 900}}}}"#)
}

#[test]
fn a_list_of_seats_is_a_plan_whatever_its_delimiter() {
    let list = "Section,Row,Seat,Category,X,Y,Notes,Door,Accessible\n\
        \"Parkett, links\",1,1,A,0,0,,Tür 2,\n\
        \"Parkett, links\",1,2,A,1,0,Säule,,yes\n\
        Balkon,,7,B,0,\"3.5\",,,\n";
    for delimiter in [",", ";", "\t", "|"] {
        let list = list
            .replace("\"Parkett, links\"", "Parkett")
            .replace(',', delimiter);
        let list = if delimiter == ";" {
            list.replace("3.5", "3,5")
        } else {
            list
        };
        let layout = parse(priced(&list).as_bytes()).unwrap();
        assert_eq!(layout.seats.len(), 3);
        assert_eq!(label(&layout, "Parkett-1-2"), "Parkett, row 1, seat 2");
        assert_eq!(label(&layout, "Balkon-7"), "Balkon, seat 7");
        let place = layout.place(1);
        assert_eq!(place.notes.as_deref(), Some("Säule"));
        assert!(layout.seats[1].is_accessible);
        assert_eq!(layout.place(0).door.as_deref(), Some("Tür 2"));
    }
    let quoted = parse(priced(list).as_bytes()).unwrap();
    assert_eq!(
        label(&quoted, "Parkett, links-1-1"),
        "Parkett, links, row 1, seat 1"
    );
}

#[test]
fn seats_without_positions_stand_side_by_side() {
    let list = "section,row,seat,category\nS,1,1,A\nS,1,2,A\nS,2,1,B\n";
    let layout = parse(priced(list).as_bytes()).unwrap();
    assert_eq!(runs(&layout), [vec!["S-1-1", "S-1-2"], vec!["S-2-1"]]);
    assert_eq!(drawn(&layout)["stage"], true, "it is no picture");
}

#[test]
fn faults_of_a_list_are_told_by_line() {
    let list = "section,row,seat,category,x,y,accessible,price\nS,1,,A,0,0,,\nS,1,2,C,left,0,maybe,5\nS,1,2,A,1,0,,\nS,1,2,A,2,0,,\n";
    let reasons = reasons(&priced(list)).join("\n");
    for reason in [
        "line 2: the seat has no number",
        "line 3: x is no number",
        "line 3: accessible is 'yes' or 'no'",
        "S, row 1, seat 2: its id 'S-1-2' is also that of S, row 1, seat 2",
        "the category 'C' has no price",
        "the plan has no category 'B'",
    ] {
        assert!(reasons.contains(reason), "{reason}: {reasons}");
    }
    let bare = super::reasons("section,row,seat,category\nS,1,1,A\n");
    assert!(
        bare[0].contains("the category 'A' has no price"),
        "{bare:?}"
    );
}
