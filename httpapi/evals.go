package httpapi

import (
	"net/http"

	"github.com/steppe-run/steppe/structs"
)

// evalsList lists evaluations.
func evalsList(c *call, v View) (reply, error) {
	if err := hexPrefix("eval", c.prefix); err != nil {
		return reply{}, err
	}
	job, status := c.query.Get("job"), c.query.Get("status")
	if c.filter != "" && (job != "" || status != "") {
		return reply{}, refuse(http.StatusBadRequest, "filter can't be combined with job or status: say it all in the filter")
	}
	evals := where(v.Evals(c.namespace, c.prefix), func(e *structs.Evaluation) bool {
		return (job == "" || e.JobID == job) && (status == "" || e.Status == status)
	})
	return list(c, v, evals, evalListing)
}

var evalListing = listing[*structs.Evaluation, *structs.Evaluation]{
	order: byCreation,
	key:   func(e *structs.Evaluation) key { return key{number: e.CreateIndex, last: e.ID} },
	show:  same[*structs.Evaluation],
}

// evalsCount counts the evaluations that match a filter.
func evalsCount(c *call, v View) (reply, error) {
	match, err := matcher(c.filter)
	if err != nil {
		return reply{}, err
	}
	resp := structs.EvalCountResponse{}
	for e := range v.Evals(c.namespace, c.prefix) {
		ok, err := match(e)
		if err != nil {
			return reply{}, err
		}
		if ok {
			resp.Count++
		}
	}
	index := c.indexOf(v)
	resp.QueryMeta = c.queryMeta(index)
	return reply{value: &resp, index: index}, nil
}

// queryMeta repeats the headers in the body, for the few answers that do.
func (c *call) queryMeta(index uint64) structs.QueryMeta {
	srv := c.api.cfg.Server
	_, known := srv.Leader()
	return structs.QueryMeta{LastIndex: index, LastContact: srv.LeaderContact(), KnownLeader: known || srv.IsLeader()}
}

// evalOf finds the evaluation that the path names.
func evalOf(c *call, v View) (*structs.Evaluation, error) {
	id := c.param("eval_id")
	if err := recordID("eval", id); err != nil {
		return nil, err
	}
	if e := v.Eval(id); e != nil {
		return e, nil
	}
	return nil, structs.ErrEvalNotFound
}

// evalRead reads one evaluation, with its relatives if asked.
func evalRead(c *call, v View) (reply, error) {
	e, err := evalOf(c, v)
	if err != nil {
		return reply{}, err
	}
	related, err := c.flag("related")
	if err != nil {
		return reply{}, err
	}
	if !related {
		return reply{value: e, index: e.ModifyIndex}, nil
	}
	shown := *e
	shown.RelatedEvals = relatives(v, e)
	return reply{value: &shown, index: e.ModifyIndex}, nil
}

// relatives follows the links between evaluations in both directions.
func relatives(v View, of *structs.Evaluation) []*structs.EvaluationStub {
	seen := map[string]bool{of.ID: true}
	found := []*structs.EvaluationStub{}
	ahead := []*structs.Evaluation{of}
	for len(ahead) > 0 {
		e := ahead[0]
		ahead = ahead[1:]
		for _, id := range []string{e.PreviousEval, e.NextEval, e.BlockedEval} {
			if id == "" || seen[id] {
				continue
			}
			seen[id] = true
			if next := v.Eval(id); next != nil {
				found = append(found, evalStub(next))
				ahead = append(ahead, next)
			}
		}
	}
	return found
}

// evalAllocations lists the allocations that an evaluation made or changed.
func evalAllocations(c *call, v View) (reply, error) {
	id := c.param("eval_id")
	if err := recordID("eval", id); err != nil {
		return reply{}, err
	}
	return reply{value: all(v.AllocsByEval(id), fullStub), index: c.indexOf(v)}, nil
}
