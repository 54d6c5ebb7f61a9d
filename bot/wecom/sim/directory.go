package sim

import (
	"maps"
	"slices"
	"strconv"
)

func (s *Sim) userGet(c *call) (answer, *refusal) {
	id := c.query["userid"]
	c.note = id
	if id == "" {
		return nil, refuse(41009, "")
	}
	m := s.people[canonical(id)]
	switch {
	case m == nil:
		return nil, refuse(60111, "")
	case m.Hidden:
		return nil, refuse(60011, "")
	}
	departments := m.inDepartments()
	zeros := make([]int, len(departments))
	return answer{
		"userid": m.ID, "name": m.Name, "department": departments, "order": zeros, "is_leader_in_dept": zeros,
		"direct_leader": []string{}, "position": "", "telephone": "", "alias": "", "main_department": departments[0],
		"open_userid": "", "status": m.Status, "extattr": answer{"attrs": []string{}}, "external_position": "",
	}, nil
}

// inDepartments is never empty: who is in no department is in the root.
func (m *member) inDepartments() []int {
	if len(m.Departments) == 0 {
		return []int{1}
	}
	return m.Departments
}

func (s *Sim) userSimpleList(c *call) (answer, *refusal) {
	id, err := strconv.Atoi(c.query["department_id"])
	if err != nil {
		return nil, refuse(40058, "department_id")
	}
	if _, ok := s.department(id); !ok {
		return nil, refuse(60003, "")
	}
	list := []answer{}
	for _, m := range s.everybody() {
		if !m.Hidden && slices.Contains(m.inDepartments(), id) {
			list = append(list, answer{"userid": m.ID, "name": m.Name, "department": m.inDepartments(), "open_userid": ""})
		}
	}
	return answer{"userlist": list}, nil
}

// subtree returns the department asked for and all below it; without an id,
// all there are.
func (s *Sim) subtree(c *call) ([]Department, *refusal) {
	root := 1
	if c.query["id"] != "" {
		var err error
		if root, err = strconv.Atoi(c.query["id"]); err != nil {
			return nil, refuse(40058, "id")
		}
	}
	top, ok := s.department(root)
	if !ok {
		return nil, refuse(60003, "")
	}
	found := []Department{top}
	for i := 0; i < len(found); i++ {
		for _, d := range s.conf.Departments {
			known := slices.ContainsFunc(found, func(f Department) bool { return f.ID == d.ID })
			if d.Parent == found[i].ID && !known {
				found = append(found, d)
			}
		}
	}
	return found, nil
}

func (s *Sim) departmentList(c *call) (answer, *refusal) {
	found, no := s.subtree(c)
	list := []answer{}
	for _, d := range found {
		list = append(list, answer{"id": d.ID, "name": d.Name, "name_en": "", "department_leader": []string{}, "parentid": d.Parent, "order": 0})
	}
	return answer{"department": list}, no
}

func (s *Sim) departmentSimpleList(c *call) (answer, *refusal) {
	found, no := s.subtree(c)
	list := []answer{}
	for _, d := range found {
		list = append(list, answer{"id": d.ID, "parentid": d.Parent, "order": 0})
	}
	return answer{"department_id": list}, no
}

func (s *Sim) tagGet(c *call) (answer, *refusal) {
	id, err := strconv.Atoi(c.query["tagid"])
	if err != nil || s.conf.Tags[id] == nil {
		return nil, refuse(40068, "")
	}
	list := []answer{}
	for _, m := range s.everybody() {
		if !m.Hidden && s.tagged(m, id) {
			list = append(list, answer{"userid": m.ID, "name": m.Name})
		}
	}
	return answer{"tagname": tagName(id), "userlist": list, "partylist": []int{}}, nil
}

func (s *Sim) tagList(*call) (answer, *refusal) {
	list := []answer{}
	for _, id := range slices.Sorted(maps.Keys(s.conf.Tags)) {
		list = append(list, answer{"tagid": id, "tagname": tagName(id)})
	}
	return answer{"taglist": list}, nil
}

func tagName(id int) string { return "tag " + strconv.Itoa(id) }

func (s *Sim) agentGet(c *call) (answer, *refusal) {
	if no := s.queryAgent(c); no != nil {
		return nil, no
	}
	users := []answer{}
	for _, m := range s.everybody() {
		if !m.Hidden {
			users = append(users, answer{"userid": m.ID})
		}
	}
	return answer{
		"agentid": s.conf.AgentID, "name": s.conf.AppName, "square_logo_url": "", "description": "",
		"allow_userinfos": answer{"user": users}, "allow_partys": answer{"partyid": []int{}}, "allow_tags": answer{"tagid": []int{}},
		"close": 0, "redirect_domain": "", "report_location_flag": 0, "isreportenter": 1, "home_url": "", "customized_publish_status": 1,
	}, nil
}

func (s *Sim) ipList(*call) (answer, *refusal) {
	return answer{"ip_list": []string{"127.0.0.1"}}, nil
}
