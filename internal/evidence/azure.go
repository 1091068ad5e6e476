package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// azureTransport logs in to an Azure Monitor workspace with the identity of the pod
// (Microsoft Entra Workload ID): it trades the token that AKS mounts for one of Entra.
type azureTransport struct {
	next                     http.RoundTripper
	tokenURL, clientID, file string
	mu                       sync.Mutex
	token                    string
	expires                  time.Time
}

const azureScope = "https://prometheus.monitor.azure.com/.default"

func newAzureTransport(next http.RoundTripper) (http.RoundTripper, error) {
	value := make(map[string]string)
	for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"} {
		if value[name] = os.Getenv(name); value[name] == "" {
			return nil, hinted{fmt.Errorf("--azure.workload-identity: the variable %s is not set", name),
				"label the pod azure.workload.identity/use=true and use an annotated service account"}
		}
	}
	authority := os.Getenv("AZURE_AUTHORITY_HOST")
	if authority == "" {
		authority = "https://login.microsoftonline.com/"
	}
	return &azureTransport{
		next:     next,
		tokenURL: strings.TrimSuffix(authority, "/") + "/" + url.PathEscape(value["AZURE_TENANT_ID"]) + "/oauth2/v2.0/token",
		clientID: value["AZURE_CLIENT_ID"],
		file:     value["AZURE_FEDERATED_TOKEN_FILE"],
	}, nil
}

func (a *azureTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	token, err := a.current(request.Context())
	if err != nil {
		return nil, err
	}
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+token)
	return a.next.RoundTrip(request)
}

// current returns a token that is valid for a while yet.
func (a *azureTransport) current(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Now().Before(a.expires) {
		return a.token, nil
	}
	assertion, err := os.ReadFile(a.file) // AKS renews it
	if err != nil {
		return "", err
	}
	form := url.Values{
		"client_id":             {a.clientID},
		"scope":                 {azureScope},
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {strings.TrimSpace(string(assertion))},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", errors.New("AZURE_AUTHORITY_HOST is not a URL")
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := a.next.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("cannot reach Microsoft Entra: %w", err)
	}
	defer response.Body.Close()
	var granted struct {
		Token   string `json:"access_token"`
		Seconds int64  `json:"expires_in"`
		Error   string `json:"error"` // a code. Its description may quote the assertion
	}
	if err := json.NewDecoder(response.Body).Decode(&granted); err != nil || granted.Token == "" {
		return "", hinted{fmt.Errorf("no token from Microsoft Entra: %s %s", response.Status, excerpt([]byte(granted.Error))),
			"check the federated credential of the managed identity: issuer, namespace and service account"}
	}
	a.token = granted.Token
	a.expires = time.Now().Add(max(time.Duration(granted.Seconds)*time.Second-5*time.Minute, time.Minute))
	return a.token, nil
}
